"""``facekd export``: the student as a package that a phone can run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facekd import files
from facekd.data.faceset import FaceSet, open_faces
from facekd.data.overlap import refuse_overlap
from facekd.data.pairs import open_pairs
from facekd.data.views import Crops, crop_of
from facekd.errors import ModelError
from facekd.models.weights import load_model
from facekd.packaging.gate import Gate
from facekd.packaging.package import Package, wishes, write_package
from facekd.packaging.proof import Prover
from facekd.packaging.source import Form, freeze
from facekd.packaging.targets.target import Precision
from facekd.runs import Run, environment

CALIBRATION = 100
"""Crops taken from the calibration set, evenly spaced: int8 ranges are set on them, and cosines told on them."""


def export(model: Path | str, out: Path | str, calibration: Path | str | None = None, pairs: Path | str | None = None,
           images: Path | str | None = None, name: str | None = None, to: Sequence[str] = ("onnx",),
           precisions: Sequence[Precision] = (), max_drop: float = 0.3, pixels: Literal["float", "uint8"] = "float",
           unit: bool = False) -> Package:
    """Write a package folder: the files of every target, each compared with the network, card and metadata.

    Args:
        model: a run folder or a ``.safetensors`` file of facekd.
        out: the package folder, not there yet.
        calibration: training faces to set the int8 ranges on; without them no int8 file is written.
        pairs: pair list on which every file and the float network are verified.
        images: the folder the pairs' paths start from.
        name: what the files are called, by default the run's name.
        to: targets, see `facekd.packaging.targets.names`.
        precisions: fp32, fp16, int8; none means all that a target offers.
        max_drop: the gate, in percentage points of verification accuracy; applied where there are pairs.
        pixels: ``uint8``: pixels are scaled inside the files.
        unit: whether the files bring embeddings to unit length.

    Raises:
        ExportError: a file does not answer as the network does or loses too much, a target is not installed, or
            ``out`` is not empty.
        ModelError: no such model.
        DataError: calibration faces or pairs cannot be used, or share an image or a person.
    """
    path = Path(model)
    run = Run(path) if path.is_dir() else None
    wanted = wishes(to, precisions, calibration is not None)
    network = load_model(run.model if run else path)
    size = network.spec.size
    faces = open_faces(calibration) if calibration else None
    chosen = _evenly(faces) if faces else []
    pair_set = open_pairs(Path(pairs), Path(images) if images else None) if pairs else None
    if faces and pair_set:
        refuse_overlap(faces, chosen, pair_set, size)
    crops = _crops(faces, chosen, size) if faces else None
    source = freeze(network, Form(pixels, unit), name or path.stem, crops)
    provenance, results = _story(run)
    prover = Prover(source, crops, pair_set, Gate(max_drop))
    return write_package(source, Path(out), wanted, prover, results=results, provenance=provenance)


def _evenly(faces: FaceSet) -> list[int]:
    places: list[int] = np.linspace(0, len(faces) - 1, min(CALIBRATION, len(faces))).round().astype(int).tolist()
    return sorted(set(places))


def _crops(faces: FaceSet, chosen: Sequence[int], size: int) -> Crops:
    return np.stack([crop_of(faces.read(i), size, faces.where(i)) for i in chosen])


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
