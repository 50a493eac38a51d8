"""The contents of a run folder, as reports need them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facekd.errors import DataError, FacekdError
from facekd.models.complexity import count_macs
from facekd.models.registry import ModelSpec, build
from facekd.run import Run
from facekd.utils import files

Json = dict[str, Any]

OPEN_SET_KEYS = ("rank", "rank_interval", "cmc", "tpir", "tpir_interval", "mated", "unmated", "identities",
                 "gallery_identities", "galleries", "notes")
TEMPLATE_PAIRS_KEYS = ("tar", "tar_interval", "genuine", "impostors", "templates", "identities", "notes")
RESULT_KEYS = {
    "verify": ("accuracy", "accuracy_std", "accuracy_interval", "auc", "eer", "threshold", "pairs", "tar",
               "tar_interval", "notes"),
    "megaface": ("rank1", "rank1_interval", "cmc", "pairs", "probes", "identities", "distractors", "tar",
                 "tar_interval", "notes"),
    "ijb": ("verification", "identification", "images", "templates", "notes"),
    "identify": OPEN_SET_KEYS,
    "classify": ("top1", "top1_interval", "top5", "top5_interval", "per_class", "ece", "reliability", "nll", "images",
                 "classes", "agreement", "kl", "notes"),
}
"""The kinds of results, and the keys that reports read from each."""


@dataclass(frozen=True)
class RunData:
    """The contents of a run folder.

    Attributes:
        path: the run folder.
        info: the content of ``run.json``.
        recipe: the content of ``recipe.yaml``.
        recipe_text: ``recipe.yaml`` as text.
        log: the lines of ``log.jsonl``.
        points: the recorded points of ``route/route.json``; empty without a route.
        results: the evaluation results by their kind, a key of `RESULT_KEYS`; each has its name under ``name``.
        package: the content of ``package/metadata.json``; None without an export.
        diagnosis: the sentence of ``diagnosis.json``; empty if the student was not diagnosed.
    """

    path: Path
    info: Json
    recipe: Json
    recipe_text: str
    log: Sequence[Json]
    points: Sequence[Json]
    results: Mapping[str, Sequence[Json]]
    package: Json | None
    diagnosis: str = ""

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
        return file.read_bytes() if file.is_file() else None

    def macs(self) -> int | None:
        """Return the multiply-adds of one image, counted if ``run.json`` lacks them; None for an unknown model."""
        if self.info.get("macs"):
            return int(self.info["macs"])
        try:
            spec = ModelSpec.from_dict(self.info.get("model") or {})
            return count_macs(build(spec), spec.size)
        except FacekdError:  # a model that is not registered here: the report leaves the figure out
            return None


def load_run_data(path: Path) -> RunData:
    """Read a run folder; the run may be unfinished and without results.

    Raises:
        DataError: the folder is no run folder, or one of its files is damaged.
    """
    run = Run(path)
    info = run.info()
    recipe, recipe_text = _read_recipe(path / "recipe.yaml")
    route = run.route / "route.json"
    return RunData(
        path=path,
        info=info,
        recipe=recipe,
        recipe_text=recipe_text,
        log=_read_log(run),
        points=files.read_json(route).get("points", []) if route.is_file() else [],
        results={kind: _read_results(run, kind) for kind in RESULT_KEYS},
        package=_read_package(path / "package" / "metadata.json"),
        diagnosis=str(files.read_json(run.diagnosis).get("sentence", "")) if run.diagnosis.is_file() else "",
    )


def _read_recipe(file: Path) -> tuple[Json, str]:
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{file} cannot be read ({error}); restore it, or run the same command again") from error
    if not isinstance(tree, dict):
        raise DataError(f"{file} holds no 'key: value' lines; restore it, or run the same command again")
    return tree, text


def _read_log(run: Run) -> list[Json]:
    try:
        return run.read_log()
    except ValueError as error:
        raise DataError(f"{run.log_file} is damaged ({error}); restore it, or delete it") from error


def _read_package(file: Path) -> Json | None:
    if not file.is_file():
        return None
    # Only here: the import loads the code of every export target, which a run without a package does not need.
    from facekd.deploy.package import VERSION

    return files.read_versioned(file, "package", VERSION, DataError, remedy="export it again")


def _read_results(run: Run, kind: str) -> list[Json]:
    """Read the results of one kind, and check that they have the keys that reports read."""
    results = []
    for file in sorted(run.results.glob(f"{kind}-*.json")):
        result = {"name": file.stem.removeprefix(f"{kind}-"), **files.read_json(file)}
        missing = _missing_keys(result, RESULT_KEYS[kind])
        if kind == "ijb" and not missing:
            if result["verification"]:
                missing += _missing_keys(result["verification"], TEMPLATE_PAIRS_KEYS, "verification.")
            for gallery, gallery_result in result["identification"].items():
                missing += _missing_keys(gallery_result, OPEN_SET_KEYS, f"identification.{gallery}.")
        if missing:
            raise DataError(f"{file} lacks {', '.join(missing)}; delete it and evaluate again")
        results.append(result)
    return results


def _missing_keys(result: Json, keys: Sequence[str], prefix: str = "") -> list[str]:
    return [prefix + key for key in keys if key not in result]
