"""``facekd export``: the student as a package that a phone can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facekd import files
from facekd.data.faceset import FaceSet, open_faces
from facekd.data.pairs import open_pairs
from facekd.data.views import Crops, crop_of
from facekd.errors import ModelError
from facekd.evaluation.protocols import evaluate_verification
from facekd.models.embedder import Embedder
from facekd.models.weights import load_model
from facekd.packaging.package import PackageSummary, write_package
from facekd.runs import Run, environment

CALIBRATION = 200
"""Crops taken from the calibration set, evenly spaced: the ranges are set on some, the agreement told on all."""


def export(model: Path | str, out: Path | str, calibration: Path | str | None = None, pairs: Path | str | None = None,
           images: Path | str | None = None, name: str | None = None) -> PackageSummary:
    """Write a package folder: ONNX, int8 ONNX beside it, ``card.md`` and ``metadata.json``.

    Args:
        model: a run folder or a ``.safetensors`` file of facekd.
        out: the package folder, not there yet.
        calibration: training faces to set the int8 ranges on; without them no int8 file is written.
        pairs: pair list on which both files are verified.
        images: the folder the pairs' paths start from.
        name: what the files are called, by default the run's name.

    Raises:
        ExportError: an exported file does not answer as the network does, or ``out`` is not empty.
        ModelError: no such model.
        DataError: calibration faces or pairs cannot be used.
    """
    path = Path(model)
    run = Run(path) if path.is_dir() else None
    network = load_model(run.model if run else path)
    crops = _sample(open_faces(calibration), network.spec.size) if calibration else None
    provenance, results = _story(run)
    return write_package(
        network, Path(out), name=name or path.stem, calibration_crops=crops, results=results, provenance=provenance,
        score=_scorer(Path(pairs), Path(images) if images else None) if pairs else None,
    )


def _sample(faces: FaceSet, size: int) -> Crops:
    chosen = np.unique(np.linspace(0, len(faces) - 1, min(CALIBRATION, len(faces))).round().astype(int)).tolist()
    return np.stack([crop_of(faces.read(i), size, faces.where(i)) for i in chosen])


def _scorer(pairs: Path, images: Path | None) -> Callable[[Embedder], Mapping[str, Any]]:
    pair_set = open_pairs(pairs, images)

    def score(embedder: Embedder) -> Mapping[str, Any]:
        return {"pairs_file": pairs.name, **evaluate_verification(embedder, pair_set)[0].to_dict()}

    return score


def _story(run: Run | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where a run's model comes from, and what was measured on it."""
    facts: dict[str, Any] = {"exported_on": environment()["hardware"]["label"]}
    if run is None:
        return facts, {}
    if not (run.path / "run.json").is_file():
        raise ModelError(f"{run.path} is no run folder; give one, or a .safetensors file of facekd")
    info = run.info()
    kept = ("verb", "faces", "strategy", "anchors", "versions", "git", "finished")
    facts.update({key: info[key] for key in kept if key in info})
    results = {file.stem: files.read_json(file) for file in sorted(run.results.glob("*.json"))}
    for result in results.values():
        result.pop("roc", None)
    return facts, results
