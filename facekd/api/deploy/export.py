"""``facekd export``: a package for the phone from a trained network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from typing_extensions import Unpack

from facekd.api.prune import load_network
from facekd.data.diagnosis.leakage import refuse_overlap
from facekd.data.opening import open_pairs
from facekd.deploy.export import LICENSES, TargetPrecision, resolve_targets, write_package
from facekd.deploy.insightface_package import check_insightface_compatibility, write_insightface_package
from facekd.deploy.int8.calibration import Calibration, read_calibration
from facekd.deploy.int8.equalization import equalize
from facekd.deploy.int8.qat import quantization_aware_finetune
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.base import Precision
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import Gate, parse_gates
from facekd.errors import ExportError, ModelError
from facekd.evaluation.embedding.plausibility import check_crops
from facekd.io.documents import read_json
from facekd.io.files import sha256
from facekd.io.licenses import find_license
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.models.registry import Network
from facekd.models.torch_embedder import TorchEmbedder
from facekd.reporting.result_records import RESULTS, read_result
from facekd.run import Run
from facekd.text import path_text
from facekd.utils.environment import hardware


def export(model: Path | str, out: Path | str, *, calibration: Path | str | None = None,
           pairs: Path | str | None = None, images: Path | str | None = None, name: str | None = None,
           targets: Sequence[str] = ("onnx",), precisions: Sequence[Precision] = (), gates: Sequence[str] = (),
           against: Path | str | None = None, input_dtype: Literal["float", "uint8"] = "float",
           l2_normalized: bool = False, detector: Path | str | None = None, qat_epochs: int | None = None,
           licenses: Mapping[str, str] | None = None, **options: Unpack[InputOptions]) -> Package:
    """Write a package folder: the files of every target, each validated against the network, model card and metadata.

    Args:
        model: a run folder or a ``.safetensors`` file of facekd, or the ``.onnx`` of a recognizer from elsewhere that
            consists of convolutions and the like; its files are validated against this ONNX.
        out: the package folder, which must not exist.
        calibration: training faces for int8 calibration; without them no int8 file is written.
        pairs: pair list on which every file and the float network are verified.
        images: the root folder of the paths in the pair list.
        name: base name of the files, by default the name of the run.
        targets: names of targets, see `facekd.deploy.targets.list_targets`.
        precisions: fp32, fp16, int8; empty for all that a target supports.
        gates: what a file may lose on the pairs in percentage points, ``METRIC=POINTS``: ``accuracy``, ``auc``,
            ``eer`` or ``tar@FAR``; by default ``accuracy=0.3``; only with pairs.
        against: the model that losses are gated against, any that `facekd.load` opens, e.g. the teacher; by default
            the float network. Its losses stand in card and metadata as well.
        input_dtype: ``uint8``: pixels are normalized inside the files.
        l2_normalized: whether the files return L2-normalized embeddings.
        detector: an SCRFD file; with it the package contains the folder ``insightface``, a model package of
            InsightFace 2, see `write_insightface_package`.
        qat_epochs: epochs of quantization-aware training of the int8 weights on all calibration faces, see
            `quantization_aware_finetune`; validation also compares these files with the original network. None leaves
            the weights unchanged.
        licenses: licenses of ``code``, ``weights`` and ``data``, for card and metadata; the others are unknown.
        options: how an ``.onnx`` is fed, see `InputOptions`.

    Raises:
        ExportError: the ONNX has an operator that cannot be converted, a file differs from the network or loses too
            much, a target is not installed, ``out`` is not empty, detector and network do not fit in one package of
            InsightFace, a license has an unknown subject, or an argument has no effect or is not valid.
        ModelError: the model or the detector cannot be loaded.
        DataError: calibration faces or pairs cannot be used, or share an image or an identity.
    """
    path = Path(model)
    run = _open_run(path)
    checked_gates = _check_gates(gates, against, pairs, images)
    target_precisions = resolve_targets(targets, precisions, calibration is not None)
    _check_qat(qat_epochs, target_precisions)
    _check_licenses(licenses or {})
    check_writable(out, folder=True)
    with lock_output(out):
        network, original = _load(run.model if run else path, options)
        size = network.spec.size
        if detector:
            check_insightface_compatibility(size, targets, Path(detector))
        calibrated = read_calibration(calibration, size) if calibration else None
        pair_set = open_pairs(Path(pairs), Path(images) if images else None) if pairs else None
        if calibrated and pair_set:
            used = range(len(calibrated.faces)) if qat_epochs else calibrated.indices
            refuse_overlap(calibrated.faces, used, pair_set, size)
        crops = calibrated.crops if calibrated else None
        source = prepare_source(network, ExportFormat(input_dtype, l2_normalized), name or path.stem, crops)
        provenance, results = _provenance(run)
        if original is not None:
            provenance["converted_from"] = {"name": path.name, "sha256": sha256(path),
                                            "license": (licenses or {}).get("weights") or find_license(path)}
        provenance.update({f"license_{subject}": text for subject, text in (licenses or {}).items()})
        provenance.update(_calibration_facts(calibrated, qat_epochs, network, source.name))
        validator = ExportValidator(source, crops, pair_set, checked_gates, original=original,
                                    against=load(against) if against else None)
        package = write_package(source, Path(out), target_precisions, validator, results=results, provenance=provenance,
                                int8_source=_tuned_source(source, calibrated, qat_epochs))
        if detector:
            write_insightface_package(package, Path(detector), package.path / "insightface")
    return package


def _open_run(path: Path) -> Run | None:
    if (path / "metadata.json").is_file():
        raise ExportError(f"{path_text(path)} is a package already; export takes the run, the .safetensors or the "
                          ".onnx that it was made from")
    return Run(path) if path.is_dir() else None


def _load(file: Path, options: InputOptions) -> tuple[Network, Embedder | None]:
    """Return the network, and the embedder of the ONNX file that it was converted from."""
    original = load(file, **options) if file.suffix == ".onnx" else None
    try:
        return load_network(file, **options), original
    except ModelError as error:
        if original is None:
            raise
        raise ExportError(f"{error}; for a smaller model make it the teacher of a student by 'facekd route import' and "
                          "'facekd distill'") from error


def _check_gates(gates: Sequence[str], against: Path | str | None, pairs: Path | str | None,
                 images: Path | str | None) -> list[Gate]:
    """Return the gates, the default one if none is stated."""
    checked = parse_gates(gates)
    if pairs is None and (images is not None or against is not None or gates):
        raise ExportError("--images, --gate and --against belong to --pairs; give the pair list as well, or leave them "
                          "out")
    return checked


def _calibration_facts(calibration: Calibration | None, qat_epochs: int | None, network: Network, name: str
                       ) -> dict[str, Any]:
    """Return what calibration adds to the provenance: the set of the tuning, and what is implausible."""
    if calibration is None:
        return {}
    facts: dict[str, Any] = {}
    if qat_epochs:
        facts["int8_tuning"] = {"epochs": qat_epochs, "dataset": asdict(calibration.faces.fingerprint())}
    plausibility = check_crops(TorchEmbedder(copy.deepcopy(network), name), calibration.crops, calibration.labels)
    if plausibility and plausibility.note:
        facts["plausibility"] = plausibility.note
    return facts


def _tuned_source(source: ExportSource, calibration: Calibration | None, epochs: int | None
                  ) -> Callable[[int], ExportSource] | None:
    """Return the function that trains the weights of int8 files; None without such training."""
    if calibration is None or epochs is None:
        return None
    faces = calibration.faces
    return lambda weight_max: quantization_aware_finetune(equalize(source), faces, epochs, weight_max)


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


def _provenance(run: Run | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the provenance of a run's model, and the evaluation results of the run by name."""
    provenance: dict[str, Any] = {"exported_on": hardware()["label"]}
    if run is None:
        return provenance, {}
    if not (run.path / "run.json").is_file():
        raise ModelError(f"{run.path} is no run folder; give one, or a .safetensors file of facekd")
    info = run.info()
    if "teacher" in info:
        provenance["distilled_from"] = info["teacher"]
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
