"""``facekd export``: the student as a package that a phone can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facekd.data.diagnosis.leakage import refuse_overlap
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces, open_pairs
from facekd.data.transforms import Crops, crop_of
from facekd.deploy.export import LICENCES, Wish, wishes, write_package
from facekd.deploy.insightface_package import demand_insightface, write_insightface_package
from facekd.deploy.package import Package
from facekd.deploy.qat import tuned
from facekd.deploy.source import Form, freeze
from facekd.deploy.targets.base import Precision
from facekd.deploy.validation import Prover
from facekd.deploy.validation_gate import Gate
from facekd.errors import ExportError, ModelError
from facekd.models.weights import load_model
from facekd.run import Run, environment
from facekd.utils import files

CALIBRATION = 100
"""Crops taken from the calibration set, evenly spaced: int8 ranges are set on them, and cosines told on them."""
FEWEST = 16
"""Of fewer faces the ranges would be those of a few people, and nothing would show it."""


def export(model: Path | str, out: Path | str, calibration: Path | str | None = None, pairs: Path | str | None = None,
           images: Path | str | None = None, name: str | None = None, to: Sequence[str] = ("onnx",),
           precisions: Sequence[Precision] = (), max_drop: float = 0.3, pixels: Literal["float", "uint8"] = "float",
           unit: bool = False, detector: Path | str | None = None, tune: int | None = None,
           licences: Mapping[str, str] | None = None) -> Package:
    """Write a package folder: the files of every target, each compared with the network, card and metadata.

    Args:
        model: a run folder or a ``.safetensors`` file of facekd.
        out: the package folder, not there yet.
        calibration: training faces to set the int8 ranges on; without them no int8 file is written.
        pairs: pair list on which every file and the float network are verified.
        images: the folder the pairs' paths start from.
        name: what the files are called, by default the run's name.
        to: targets, see `facekd.deploy.targets.names`.
        precisions: fp32, fp16, int8; none means all that a target offers.
        max_drop: the gate, in percentage points of verification accuracy; applied where there are pairs.
        pixels: ``uint8``: pixels are scaled inside the files.
        unit: whether the files bring embeddings to unit length.
        detector: an SCRFD file; with it the folder ``insightface`` in the package is a model package of InsightFace 2,
            see `write_insightface_package`.
        tune: epochs of training int8 files' weights on all calibration faces, see `tuned`; proofs compare these files
            with the untuned network as well. None leaves the weights as they are.
        licences: of ``code``, ``weights`` and ``data``, for card and metadata; what is not known is called unknown.

    Raises:
        ExportError: a file does not answer as the network does or loses too much, a target is not installed, ``out`` is
            not empty, detector and network cannot stand in a package of InsightFace, or a licence is of something
            else.
        ModelError: no such model, or no detector.
        DataError: calibration faces or pairs cannot be used, or share an image or a person.
    """
    path = Path(model)
    run = Run(path) if path.is_dir() else None
    wanted = wishes(to, precisions, calibration is not None)
    if tune is not None:
        _demand_tunable(tune, wanted)
    for what in licences or {}:
        if f"licence_{what}" not in LICENCES:
            raise ExportError(f"--licence {what}=... says nothing of a package; give code, weights or data")
    network = load_model(run.model if run else path)
    size = network.spec.size
    if detector:
        demand_insightface(size, to, Path(detector))
    faces = open_faces(calibration) if calibration else None
    if faces and len(faces) < FEWEST:
        raise ExportError(f"{calibration} holds {len(faces)} faces, int8 ranges need {FEWEST} at the least, better "
                          f"{CALIBRATION}, of different people; give the training set")
    chosen = _evenly(faces) if faces else []
    pair_set = open_pairs(Path(pairs), Path(images) if images else None) if pairs else None
    if faces and pair_set:
        refuse_overlap(faces, range(len(faces)) if tune else chosen, pair_set, size)
    crops = _crops(faces, chosen, size) if faces else None
    source = freeze(network, Form(pixels, unit), name or path.stem, crops)
    provenance, results = _story(run)
    provenance.update({f"licence_{what}": text for what, text in (licences or {}).items()})
    int8 = None
    if faces and tune:
        provenance["int8_tuning"] = {"epochs": tune, "faces": asdict(faces.fingerprint())}
        int8 = partial(tuned, source, faces, tune)
    prover = Prover(source, crops, pair_set, Gate(max_drop))
    package = write_package(source, Path(out), wanted, prover, results=results, provenance=provenance, int8=int8)
    if detector:
        write_insightface_package(package, Path(detector), package.path / "insightface")
    return package


def _demand_tunable(epochs: int, wanted: Sequence[Wish]) -> None:
    if epochs < 1:
        raise ExportError(f"tune is {epochs}; give 1 or more epochs, or leave --tune out")
    if all(precision != "int8" for _, precision in wanted):
        raise ExportError("--tune is for int8 files and none was asked for; give --calibration FACES of the training "
                          "set and a target and --precision with int8, or leave --tune out")


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
