"""The run folder: what one execution of one verb leaves behind, and how it is found again."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from facekd.config import Recipe
from facekd.config.loading import differences, dump_recipe
from facekd.distributed import leads, told
from facekd.errors import DataError, SetupError
from facekd.utils import files

VERSION = 1


class Run:
    """A run folder: ``recipe.yaml``, ``run.json``, ``log.jsonl``, ``checkpoints/``, the model and its results.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log_file(self) -> Path:
        """One JSON object a line: what was measured while training."""
        return self.path / "log.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the states that a killed run continues from."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The trained network, written at the end."""
        return self.path / "model.safetensors"

    @property
    def partner(self) -> Path:
        """The teacher that was trained beside the student, if there was one."""
        return self.path / "partner.safetensors"

    @property
    def plan(self) -> Path:
        """What a student walked, or is walking: a plan."""
        return self.path / "plan.json"

    @property
    def route(self) -> Path:
        """The folder of the recorded route."""
        return self.path / "route"

    @property
    def results(self) -> Path:
        """The folder of evaluation results, one JSON file each."""
        return self.path / "results"

    def info(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            DataError: the folder is no run folder.
        """
        return files.read_versioned(self.path / "run.json", "run", VERSION, DataError)

    def begin(self, verb: str, recipe: Recipe, facts: Mapping[str, Any]) -> bool:
        """Make the folder, or continue it; one process does it for all.

        Args:
            verb: which verb runs.
            recipe: resolved; written as ``recipe.yaml``.
            facts: what else to note in ``run.json`` (data fingerprint, model specification, ...).

        Returns:
            Whether the folder holds a run of this very recipe already, to be continued.

        Raises:
            SetupError: the folder belongs to a run of another recipe, data or anchors, or cannot be written.
        """
        return told(lambda: self._begin(verb, recipe, facts))

    def _begin(self, verb: str, recipe: Recipe, facts: Mapping[str, Any]) -> bool:
        recipe_file = self.path / "recipe.yaml"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{self.path} cannot be made ({error.strerror}); choose another output folder") from error
        kept = (*self.checkpoints.glob("*.pt"), self.model, self.route / "route.json")
        if not any(file.exists() for file in kept):  # new, refused at its first try, or killed before it got anywhere
            self._write_info({"verb": verb, "outcome": "running", "begun": _now(), **environment(), **facts})
            files.write_text(recipe_file, dump_recipe(recipe))
            return False
        changed = differences(recipe_file, recipe) or self._changed(facts)
        if changed:
            raise SetupError(
                f"{self.path} holds a run of another recipe ({changed}); "
                "choose another output folder, or delete this one to begin anew"
            )
        return True

    def _changed(self, facts: Mapping[str, Any]) -> str:
        """Which facts (data, model, anchors) are no longer those the run began with."""
        info = self.info()
        return ", ".join(f"other {name}" for name, fact in facts.items() if info.get(name) != fact)

    def finish(self, **facts: Any) -> None:
        """Note in ``run.json`` that the run came to its end, and what it gave; one process does it for all."""
        if leads():
            self._write_info({**self.info(), "outcome": "finished", "finished": _now(), **facts})

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return (self.path / "run.json").exists() and self.info().get("outcome") == "finished"

    def _write_info(self, content: Mapping[str, Any]) -> None:
        kept = {k: v for k, v in content.items() if k not in ("format", "version")}
        files.write_versioned(self.path / "run.json", "run", VERSION, kept)

    def read_log(self) -> list[dict[str, Any]]:
        """All lines of ``log.jsonl``; a half-written last line of a killed run is left out."""
        if not self.log_file.exists():
            return []
        lines = self.log_file.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def trim_log(self, step: int) -> None:
        """Drop what was logged after ``step``: a continued run writes it again."""
        kept = [line for line in self.read_log() if line["step"] <= step]
        files.write_text(self.log_file, "".join(json.dumps(line) + "\n" for line in kept))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def environment() -> dict[str, Any]:
    """Versions, git revision, hardware and command of this process, for ``run.json`` and result files."""
    packages = ("facekd", "torch", "numpy", "opencv-python", "onnxruntime")
    return {
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages}},
        "git": _git_revision(),
        "hardware": hardware(),
        "command": shlex.join([Path(sys.argv[0]).name.replace("__main__.py", "facekd"), *sys.argv[1:]]),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores and graphics cards of this machine, and a short ``label`` for file names.

    For example ``cpu2`` or ``h200x1``.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    label = (
        f"{cards[0].lower().replace('nvidia', '').strip().replace(' ', '-')}x{len(cards)}" if cards
        else f"cpu{cores}"
    )
    return {"label": label, "processor": _processor(), "cores": cores, "cards": cards}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
