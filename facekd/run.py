"""The run folder: the files of one training or search, written by the command that makes it and read by all others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facekd.config import Recipe
from facekd.config.loading import dump_recipe, recipe_differences
from facekd.distributed import is_main_process, run_on_main_and_broadcast
from facekd.errors import DataError, SetupError
from facekd.io import files
from facekd.io.reading import read_text
from facekd.io.training_log import read_log
from facekd.io.writing import writing
from facekd.run_info import TIME_FORMAT, RunInfo
from facekd.utils.console import notify
from facekd.utils.environment import environment

VERSION = 2
REMADE_FILES = ("model.safetensors", "model.ema.safetensors", "joint_teacher.safetensors", "search.json")
"""What a finished run wrote last; the command that made the run makes it again from the last checkpoint."""
ROUTE_FILE = "route/route.json"
FACTS = {"dataset": "other training data", "model": "another network", "parameters": "another number of parameters",
         "losses": "other losses", "student_weights": "other weights in the file of student.weights",
         "anchors": "other anchors", "strategy": "another strategy of its plan", "teacher": "another teacher"}
"""What it means that a fact of a run is not the one it began with."""


class Run:
    """A run folder: ``recipe.yaml``, ``run.json``, ``log.jsonl``, ``checkpoints/``, the model and its results.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log_file(self) -> Path:
        """The training log, one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained network, written at the end."""
        return self.path / "model.safetensors"

    @property
    def joint_teacher(self) -> Path:
        """The joint teacher, written at the end where one is trained together with the student."""
        return self.path / "joint_teacher.safetensors"

    @property
    def plan(self) -> Path:
        """The plan that the student follows."""
        return self.path / "plan.json"

    @property
    def diagnosis(self) -> Path:
        """Whether a route would help this student, see `facekd.route.diagnosis`; written by ``facekd plan --show``."""
        return self.path / "diagnosis.json"

    @property
    def route(self) -> Path:
        """The folder of the recorded route."""
        return self.path / "route"

    @property
    def results(self) -> Path:
        """The folder of the evaluation results, one JSON file each."""
        return self.path / "results"

    def info(self) -> dict[str, Any]:
        """Return the content of ``run.json``.

        Raises:
            DataError: the folder is not a run folder, or of another version of the format, or ``run.json`` is damaged.
        """
        info = files.read_versioned(self.path / "run.json", "run", VERSION, DataError, schema=RunInfo,
                                    remedy="train it again in a new folder")
        return info.model_dump(exclude_unset=True)

    def begin(self, command: str, recipe: Recipe, facts: Mapping[str, Any]) -> bool:
        """Create the folder, or check that it can be continued; rank 0 does it for all ranks.

        Args:
            command: the name of the command, e.g. ``"train"``.
            recipe: the resolved recipe, written as ``recipe.yaml``.
            facts: further content of ``run.json`` (data fingerprint, model specification, ...).

        Returns:
            Whether the folder already holds a run of exactly this recipe, to be continued.

        Raises:
            SetupError: the folder belongs to a run of another recipe, data or anchors, or cannot be written.
        """
        return run_on_main_and_broadcast(lambda: self._begin(command, recipe, facts))

    def _begin(self, command: str, recipe: Recipe, facts: Mapping[str, Any]) -> bool:
        recipe_file = self.path / "recipe.yaml"
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        progress_files = (*self.checkpoints.glob("*.pt"), self.model, self.route / "route.json")
        # Without any of them the folder is new, was refused at its first try, or its run was killed before it got
        # anywhere: then a corrected recipe may take it over.
        if not any(file.exists() for file in progress_files):
            info = {"command": command, "outcome": "running", "started": _now(), **environment(), **facts}
            self._write_info(info)
            files.write_text(recipe_file, dump_recipe(recipe))
            return False
        differences = recipe_differences(recipe_file, recipe)
        changes = f"another recipe ({differences})" if differences else self._changed_facts(facts)
        if changes:
            raise SetupError(
                f"{self.path} holds a run of {changes}; "
                "choose another output folder, or delete this one to begin anew"
            )
        written = dump_recipe(recipe)
        if read_text(recipe_file, SetupError) != written:  # the data or the folder itself may have been moved
            files.write_text(recipe_file, written)
        return True

    def _changed_facts(self, facts: Mapping[str, Any]) -> str:
        """Name the facts (data, model, anchors) that are not those the run began with."""
        info = self.info()
        changed = [name for name, fact in facts.items() if info.get(name) != fact]
        return " and ".join(FACTS.get(name, f"another {name}") for name in changed)

    def finish(self, **facts: Any) -> None:
        """Record in ``run.json`` that the run is complete, with checksums of its files; rank 0 does it for all ranks.

        Args:
            facts: further content of ``run.json``.
        """
        if is_main_process():
            checksums = {name: files.sha256(self.path / name) for name in (*REMADE_FILES, ROUTE_FILE)
                         if (self.path / name).is_file()}
            self._write_info({**self.info(), "outcome": "finished", "finished": _now(), "sha256": checksums, **facts})

    def is_complete(self) -> bool:
        """Return whether the run is finished and its files are those that it wrote; rank 0 looks for all ranks.

        Damaged and missing files that the last checkpoint can make again are reported on the standard error.

        Raises:
            DataError: a file is damaged or missing, and no checkpoint is left that could make it again.
        """
        return run_on_main_and_broadcast(self._is_complete)

    def _is_complete(self) -> bool:
        if not self.finished:
            return False
        checksums = self.info().get("sha256", {})
        damaged = [name for name, checksum in checksums.items()
                   if not (self.path / name).is_file() or files.sha256(self.path / name) != checksum]
        if not damaged:
            return True
        text = f"{', '.join(damaged)} of the finished run {self.path} {'is' if len(damaged) == 1 else 'are'} damaged " \
               "or missing"
        if ROUTE_FILE in damaged or not any(self.checkpoints.glob("*.pt")):
            raise DataError(f"{text}, and no checkpoint can make that again; restore it, or delete the folder to begin "
                            "anew")
        notify(f"{text}; the last checkpoint makes that again")
        return False

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return (self.path / "run.json").exists() and self.info().get("outcome") == "finished"

    def _write_info(self, info: Mapping[str, Any]) -> None:
        content = {key: value for key, value in info.items() if key not in ("format", "version")}
        files.write_versioned(self.path / "run.json", "run", VERSION, content)

    def read_log(self) -> list[dict[str, Any]]:
        """Return all lines of ``log.jsonl``, without the half-written last line of a killed run.

        Damaged lines, which a loss of power leaves, are reported on the standard error and left out.

        Raises:
            DataError: the file cannot be read.
        """
        if not self.log_file.exists():
            return []
        return read_log(self.log_file)

    def truncate_log(self, step: int) -> None:
        """Drop the lines after ``step``; a resumed run writes them again."""
        lines = [line for line in self.read_log() if line["step"] <= step]
        files.write_text(self.log_file, "".join(json.dumps(line) + "\n" for line in lines))


def _now() -> str:
    return time.strftime(TIME_FORMAT)
