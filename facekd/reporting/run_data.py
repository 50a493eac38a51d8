"""The contents of a run folder, as reports need them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from facekd.errors import DataError, FacekdError
from facekd.io.documents import YAML_LIMIT, parse_yaml, read_json
from facekd.io.reading import read_bytes, read_text
from facekd.models.complexity import count_macs
from facekd.models.registry import ModelSpec, build
from facekd.reporting.result_records import COMPARISONS, RESULTS, read_result
from facekd.route.route import Route
from facekd.run import Run
from facekd.text import path_text, short_repr

Json = dict[str, Any]

MAX_GRID_BYTES = 64 << 20
"""Bytes of the picture of sample pairs."""
MAX_NUMBER = 1e15
"""A larger step, epoch, stage or learning rate in ``log.jsonl`` is damaged."""
MAX_LOSS = 1e39
"""Float32 losses are below it, or infinite."""


@dataclass(frozen=True)
class RunData:
    """The contents of a run folder.

    Attributes:
        path: the run folder.
        info: the content of ``run.json``.
        recipe: the content of ``recipe.yaml``.
        recipe_text: ``recipe.yaml`` as text.
        log: the lines of ``log.jsonl``.
        points: the epochs of the recorded points of ``route/route.json``; empty without a route.
        results: the evaluation results by their kind, a key of `facekd.reporting.result_records.RESULTS`; each has its
            name under ``name``.
        comparisons: the results of `facekd.reporting.result_records.COMPARISONS`, likewise.
        package: the content of ``package/metadata.json``; None without an export.
        diagnosis: the sentence of ``diagnosis.json``; empty if the student was not diagnosed.
    """

    path: Path
    info: Json
    recipe: Json
    recipe_text: str
    log: Sequence[Json]
    points: Sequence[float]
    results: Mapping[str, Sequence[Json]]
    package: Json | None
    diagnosis: str = ""
    comparisons: Mapping[str, Sequence[Json]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.path.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the run is complete."""
        return self.info.get("outcome") == "finished"

    @property
    def anchors(self) -> Sequence[Json]:
        """The anchors that the student followed, by stage; of an unfinished run, those it began with."""
        return list(self.info.get("followed_anchors") or self.info.get("anchors") or [])

    @property
    def hardware(self) -> str:
        """The short label of the machine that trained the run."""
        return str((self.info.get("hardware") or {}).get("label", "unknown"))

    @property
    def all_results(self) -> list[tuple[str, Json]]:
        """Every result with its kind."""
        return [(kind, result) for kind, results in self.results.items() for result in results]

    def pair_grid(self, result: Json) -> bytes | None:
        """Return the picture of sample pairs of a verification result as JPEG bytes; None without a picture."""
        file = self.path / "results" / f"verify-{result['name']}.jpg"
        return read_bytes(file, limit=MAX_GRID_BYTES) if file.is_file() else None

    def macs(self) -> int | None:
        """Return the multiply-adds of one image, counted if ``run.json`` lacks them; None for an unknown model."""
        if self.info.get("macs"):
            return int(self.info["macs"])
        try:
            spec = ModelSpec.from_dict(self.info.get("model") or {})
            with torch.device("meta"):
                return count_macs(build(spec), spec.size)
        except (FacekdError, RuntimeError):  # a model that is not registered here: the report leaves the figure out
            return None


def load_run_data(path: Path) -> RunData:
    """Read a run folder; the run may be unfinished and without results.

    Raises:
        DataError: the folder is no run folder, or one of its files is damaged.
    """
    run = Run(path)
    info = run.info()
    recipe, recipe_text = _read_recipe(path / "recipe.yaml")
    return RunData(
        path=path,
        info=info,
        recipe=recipe,
        recipe_text=recipe_text,
        log=_read_log(run),
        points=_read_points(run),
        results={kind: _read_results(run, kind) for kind in RESULTS},
        comparisons={kind: _read_results(run, kind) for kind in COMPARISONS},
        package=_read_package(path / "package" / "metadata.json"),
        diagnosis=str(read_json(run.diagnosis).get("sentence", "")) if run.diagnosis.is_file() else "",
    )


def _read_recipe(file: Path) -> tuple[Json, str]:
    """Return the recipe as a tree whose sections are mappings, and as text."""
    remedy = "restore it, or run the same command again"
    text = read_text(file, DataError, limit=YAML_LIMIT, remedy=remedy)
    tree = parse_yaml(text, file, DataError, remedy=remedy)
    sections = [tree.get(name) or {} for name in ("head", "training")] if isinstance(tree, dict) else [None]
    if not all(isinstance(section, dict) for section in sections) or not _has_text_keys(tree):
        raise DataError(f"{path_text(file)} is no recipe of a run; {remedy}")
    if not isinstance(tree.get("seed", 0), int) or not isinstance(tree.get("dataset", ""), str):
        raise DataError(f"{path_text(file)}: 'seed' must be a whole number and 'dataset' a path; {remedy}")
    if not isinstance((tree.get("training") or {}).get("epochs", 0), (int, float)):
        raise DataError(f"{path_text(file)}: 'training.epochs' must be a number; {remedy}")
    return tree, text


def _has_text_keys(tree: Json) -> bool:
    return all(isinstance(key, str) and (not isinstance(value, dict) or _has_text_keys(value))
               for key, value in tree.items())


def _read_log(run: Run) -> list[Json]:
    lines = run.read_log()
    for line in lines:
        if not _can_be_drawn(line):
            raise DataError(f"{path_text(run.log_file)}: the line of step {short_repr(line['step'])} is none of a "
                            "training; delete that line")
    return lines


def _can_be_drawn(line: Json) -> bool:
    """Return whether a line of the log has all keys and numbers as values; a loss may be NaN or infinite."""
    numbers = [line.get(key) for key in ("step", "stage", "epoch", "learning_rate")]
    if not all(type(number) is int for number in numbers[:2]):
        return False
    if not all(isinstance(number, (int, float)) and 0 <= number <= MAX_NUMBER for number in numbers):
        return False
    return "loss" in line and all(map(_is_loss, line.values()))


def _is_loss(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_NUMBER
    return isinstance(value, float) and (abs(value) <= MAX_LOSS or not math.isfinite(value))


def _read_points(run: Run) -> list[float]:
    return [point.epoch for point in Route.open(run.route).points] if (run.route / "route.json").is_file() else []


def _read_package(file: Path) -> Json | None:
    if not file.is_file():
        return None
    # Only here: the import loads the code of every export target, which a run without a package does not need.
    from facekd.deploy.package import read_metadata

    return read_metadata(file, DataError)


def _read_results(run: Run, kind: str) -> list[Json]:
    return [read_result(file, kind) for file in sorted(run.results.glob(f"{kind}-*.json"))]
