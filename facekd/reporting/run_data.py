"""What a report is made of, read from a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facekd.errors import DataError, FacekdError
from facekd.models.complexity import macs
from facekd.models.registry import ModelSpec, build
from facekd.run import Run
from facekd.utils import files

Json = dict[str, Any]

SEARCH_KEYS = ("rank", "rank_interval", "cmc", "tpir", "tpir_interval", "mated", "unmated", "people", "gallery",
               "galleries", "notes")
TEMPLATE_KEYS = ("tar", "tar_interval", "genuine", "impostors", "templates", "people", "notes")
KEYS = {
    "verify": ("accuracy", "accuracy_std", "accuracy_interval", "auc", "eer", "threshold", "pairs", "tar",
               "tar_interval", "notes"),
    "megaface": ("rank1", "rank1_interval", "cmc", "pairs", "probes", "identities", "distractors", "tar",
                 "tar_interval", "notes"),
    "ijb": ("verification", "search", "images", "templates", "notes"),
    "search": SEARCH_KEYS,
    "classify": ("top1", "top1_interval", "top5", "top5_interval", "per_class", "ece", "reliability", "nll", "images",
                 "classes", "agreement", "kl", "notes"),
}
"""The kinds of results, and what each holds beside its name."""


@dataclass(frozen=True)
class Material:
    """A run folder's contents.

    Attributes:
        path: the run folder.
        info: ``run.json``.
        recipe_text: ``recipe.yaml`` as it stands.
        log: the lines of ``log.jsonl``.
        points: the recorded points of ``route/route.json``; empty for a student.
        found: the results of each kind in `KEYS`, by name.
        package: ``package/metadata.json``; None where nothing was exported.
    """

    path: Path
    info: Json
    recipe_text: str
    log: Sequence[Json]
    points: Sequence[Json]
    found: Mapping[str, Sequence[Json]]
    package: Json | None

    @property
    def name(self) -> str:
        """The run folder's name."""
        return self.path.resolve().name

    @property
    def recipe(self) -> Json:
        """The recipe as a tree."""
        return dict(yaml.safe_load(self.recipe_text))

    @property
    def anchors(self) -> Sequence[Json]:
        """The anchors that were followed, stage by stage; of a run that goes on, those it began with."""
        return list(self.info.get("walked") or self.info.get("anchors") or [])

    @property
    def hardware(self) -> str:
        """The short label of the machine that trained."""
        return str((self.info.get("hardware") or {}).get("label", "unknown"))

    @property
    def results(self) -> list[tuple[str, Json]]:
        """Every result and its kind."""
        return [(kind, result) for kind, results in self.found.items() for result in results]

    def sheet(self, result: Json) -> bytes | None:
        """The picture of sample pairs beside a verification result: JPEG bytes, None where there is none."""
        file = self.path / "results" / f"verify-{result['name']}.jpg"
        return file.read_bytes() if file.is_file() else None

    def macs(self) -> int | None:
        """Multiply-adds of one image, counted anew where ``run.json`` does not say; None for an unknown model."""
        if self.info.get("macs"):
            return int(self.info["macs"])
        try:
            spec = ModelSpec.from_dict(self.info.get("model") or {})
            return macs(build(spec), spec.size)
        except FacekdError:  # a model of another version of facekd: the report goes without this figure
            return None


def read_material(path: Path) -> Material:
    """Read what a run folder holds; a run still going on, or without results, is as good.

    Raises:
        DataError: it is no run folder, or one of its files is damaged.
    """
    run = Run(path)
    info = run.info()
    route, package = run.route / "route.json", path / "package" / "metadata.json"
    return Material(
        path=path, info=info, recipe_text=_recipe(path / "recipe.yaml"), log=_log(run),
        points=files.read_json(route).get("points", []) if route.is_file() else [],
        found={kind: _results(run, kind) for kind in KEYS},
        package=files.read_json(package) if package.is_file() else None,
    )


def _recipe(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read ({error}); restore it, or run the same command again") from error
    if not isinstance(tree, dict):
        raise DataError(f"{file} holds no 'key: value' lines; restore it, or run the same command again")
    return text


def _log(run: Run) -> list[Json]:
    try:
        return run.read_log()
    except ValueError as error:
        raise DataError(f"{run.log_file} is damaged ({error}); restore it, or report without it") from error


def _results(run: Run, kind: str) -> list[Json]:
    found = []
    for file in sorted(run.results.glob(f"{kind}-*.json")):
        result = {"name": file.stem.removeprefix(f"{kind}-"), **files.read_json(file)}
        lacking = _lacking(result, KEYS[kind])
        if kind == "ijb" and not lacking:
            lacking = _lacking(result["verification"] or dict.fromkeys(TEMPLATE_KEYS), TEMPLATE_KEYS, "verification.")
            for gallery, part in result["search"].items():
                lacking += _lacking(part, SEARCH_KEYS, f"search.{gallery}.")
        if lacking:
            raise DataError(f"{file} lacks {', '.join(lacking)}; delete it and evaluate again")
        found.append(result)
    return found


def _lacking(result: Json, keys: Sequence[str], before: str = "") -> list[str]:
    return [before + key for key in keys if key not in result]
