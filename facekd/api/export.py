"""``facekd export``: a package for the phone from a trained network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facekd.data.diagnosis.leakage import refuse_overlap
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces, open_pairs
from facekd.data.transforms import Crops, decode_crop
from facekd.deploy.export import LICENSES, TargetPrecision, resolve_targets, write_package
from facekd.deploy.insightface_package import check_insightface_compatibility, write_insightface_package
from facekd.deploy.package import Package
from facekd.deploy.qat import quantization_aware_finetune
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.base import Precision
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import AccuracyGate
from facekd.errors import ExportError, ModelError
from facekd.evaluation.embedding.plausibility import check_crops
from facekd.io.documents import read_json
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from facekd.reporting.result_records import RESULTS, read_result
from facekd.run import Run
from facekd.text import path_text
from facekd.utils.environment import hardware

CALIBRATION_FACES = 100
"""Number of evenly spaced calibration crops, which set int8 ranges and on which cosines are measured."""
MAX_DROP = 0.3
"""Percentage points of accuracy that a file may lose, unless stated."""
MIN_CALIBRATION_FACES = 16
"""The minimum size of a calibration set: smaller ones show too few identities, which no later check would reveal."""


def export(model: Path | str, out: Path | str, *, calibration: Path | str | None = None,
           pairs: Path | str | None = None, images: Path | str | None = None, name: str | None = None,
           targets: Sequence[str] = ("onnx",), precisions: Sequence[Precision] = (), max_drop: float | None = None,
           input_dtype: Literal["float", "uint8"] = "float", l2_normalized: bool = False,
           detector: Path | str | None = None, qat_epochs: int | None = None,
           licenses: Mapping[str, str] | None = None) -> Package:
    """Write a package folder: the files of every target, each validated against the network, model card and metadata.

    Args:
        model: a run folder or a ``.safetensors`` file of facekd.
        out: the package folder, which must not exist.
        calibration: training faces for int8 calibration; without them no int8 file is written.
        pairs: pair list on which every file and the float network are verified.
        images: the root folder of the paths in the pair list.
        name: base name of the files, by default the name of the run.
        targets: names of targets, see `facekd.deploy.targets.list_targets`.
        precisions: fp32, fp16, int8; empty for all that a target supports.
        max_drop: the gate, in percentage points of verification accuracy, by default 0.3; only with pairs.
        input_dtype: ``uint8``: pixels are normalized inside the files.
        l2_normalized: whether the files return L2-normalized embeddings.
        detector: an SCRFD file; with it the package contains the folder ``insightface``, a model package of
            InsightFace 2, see `write_insightface_package`.
        qat_epochs: epochs of quantization-aware training of the int8 weights on all calibration faces, see
            `quantization_aware_finetune`; validation also compares these files with the original network. None leaves
            the weights unchanged.
        licenses: licenses of ``code``, ``weights`` and ``data``, for card and metadata; the others are unknown.

    Raises:
        ExportError: a file differs from the network or loses too much accuracy, a target is not installed, ``out`` is
            not empty, detector and network do not fit in one package of InsightFace, a license has an unknown subject,
            or an argument has no effect or is not valid.
        ModelError: the model or the detector cannot be loaded.
        DataError: calibration faces or pairs cannot be used, or share an image or an identity.
    """
    path = Path(model)
    _refuse_onnx(path)
    run = Run(path) if path.is_dir() else None
    gate = _check_gate(pairs, images, max_drop)
    target_precisions = resolve_targets(targets, precisions, calibration is not None)
    _check_qat(qat_epochs, target_precisions)
    _check_licenses(licenses or {})
    check_writable(out, folder=True)
    with lock_output(out):
        network = load_model(run.model if run else path)
        size = network.spec.size
        if detector:
            check_insightface_compatibility(size, targets, Path(detector))
        faces = _open_calibration(calibration) if calibration else None
        indices = _evenly_spaced(len(faces)) if faces else []
        pair_set = open_pairs(Path(pairs), Path(images) if images else None) if pairs else None
        if faces and pair_set:
            refuse_overlap(faces, range(len(faces)) if qat_epochs else indices, pair_set, size)
        crops = _read_crops(faces, indices, size) if faces else None
        source = prepare_source(network, ExportFormat(input_dtype, l2_normalized), name or path.stem, crops)
        provenance, results = _provenance(run)
        provenance.update({f"license_{subject}": text for subject, text in (licenses or {}).items()})
        int8_source: Callable[[int], ExportSource] | None = None
        if faces and qat_epochs:
            provenance["int8_tuning"] = {"epochs": qat_epochs, "dataset": asdict(faces.fingerprint())}
            int8_source = partial(quantization_aware_finetune, source, faces, qat_epochs)
        if faces and crops is not None:
            embedder = TorchEmbedder(copy.deepcopy(network), source.name)
            plausibility = check_crops(embedder, crops, faces.labels[indices].tolist())
            if plausibility and plausibility.note:
                provenance["plausibility"] = plausibility.note
        validator = ExportValidator(source, crops, pair_set, gate)
        package = write_package(source, Path(out), target_precisions, validator, results=results, provenance=provenance,
                                int8_source=int8_source)
        if detector:
            write_insightface_package(package, Path(detector), package.path / "insightface")
    return package


def _refuse_onnx(path: Path) -> None:
    if path.suffix == ".onnx" or (path / "metadata.json").is_file():
        raise ExportError(f"{path_text(path)} holds ONNX, which runs as it is; export takes a run folder or a "
                          ".safetensors file of facekd: for a smaller model make it a teacher by 'facekd route "
                          "import', and distill a student")


def _check_gate(pairs: Path | str | None, images: Path | str | None, max_drop: float | None) -> AccuracyGate:
    """Return the gate of the accuracy that a file may lose."""
    gate = AccuracyGate(MAX_DROP if max_drop is None else max_drop)
    if pairs is None and (images is not None or max_drop is not None):
        raise ExportError("--images and --max-drop belong to --pairs; give the pair list as well, or leave them out")
    return gate


def _check_qat(epochs: int | None, target_precisions: Sequence[TargetPrecision]) -> None:
    if epochs is None:
        return
    if epochs < 1:
        raise ExportError(f"qat_epochs is {epochs}; give 1 or more epochs, or leave --qat-epochs out")
    if all(precision != "int8" for _, precision in target_precisions):
        raise ExportError("--qat-epochs needs an int8 file; give --calibration FACES of the training set and a target "
                          "and --precision with int8, or leave --qat-epochs out")


def _check_licenses(licenses: Mapping[str, str]) -> None:
    for subject in licenses:
        if f"license_{subject}" not in LICENSES:
            raise ExportError(f"--license {subject}=... is not part of a package; give code, weights or data")


def _open_calibration(path: Path | str) -> FaceSet:
    faces = open_faces(path)
    if len(faces) < MIN_CALIBRATION_FACES:
        raise ExportError(f"{path} holds {len(faces)} faces, int8 ranges need at least {MIN_CALIBRATION_FACES}, better "
                          f"{CALIBRATION_FACES}, of different people; give the training set")
    return faces


def _evenly_spaced(count: int) -> list[int]:
    """Return up to `CALIBRATION_FACES` indices below ``count``."""
    indices: list[int] = np.linspace(0, count - 1, min(CALIBRATION_FACES, count)).round().astype(int).tolist()
    return sorted(set(indices))


def _read_crops(faces: FaceSet, indices: Sequence[int], size: int) -> Crops:
    return np.stack([decode_crop(faces.read(index), size, faces.location(index)) for index in indices])


def _provenance(run: Run | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the provenance of a run's model, and the evaluation results of the run by name."""
    provenance: dict[str, Any] = {"exported_on": hardware()["label"]}
    if run is None:
        return provenance, {}
    if not (run.path / "run.json").is_file():
        raise ModelError(f"{run.path} is no run folder; give one, or a .safetensors file of facekd")
    info = run.info()
    keys = ("command", "dataset", "strategy", "anchors", "versions", "git", "finished")
    provenance.update({key: info[key] for key in keys if key in info})
    results = {file.stem: _read_result(file) for file in sorted(run.results.glob("*.json"))}
    for result in results.values():
        result.pop("roc", None)
    return provenance, results


def _read_result(file: Path) -> dict[str, Any]:
    """Read a result of a run; those of a kind that reports show are checked."""
    kind = file.stem.partition("-")[0]
    return read_result(file, kind) if kind in RESULTS else read_json(file)
