"""Export of a package: every file is converted, validated, timed and described, or no folder is written."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from facekd.deploy.benchmark.latency import measure_latency
from facekd.deploy.int8.equalization import equalize
from facekd.deploy.model_card import render_model_card
from facekd.deploy.onnx.quantization_error import layer_snr
from facekd.deploy.package import VERSION, Package, read_metadata
from facekd.deploy.source import ExportSource
from facekd.deploy.targets import ConvertedFiles, Target, get_target
from facekd.deploy.targets.base import Precision
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import MeasureLayers
from facekd.errors import ExportError
from facekd.io import files
from facekd.io.outputs import plain_name
from facekd.models.complexity import count_macs, count_parameters

LICENSES = {"license_code": "Apache-2.0", "license_weights": "unknown", "license_data": "unknown"}
"""The default licenses in card and metadata; the code is facekd's."""
LAYER_CROPS = 16
"""Number of calibration crops on which the error of each layer is measured."""
TargetPrecision = tuple[str, Precision]
"""The name of a target and a precision."""


def resolve_targets(
    targets: Sequence[str], precisions: Sequence[Precision], calibrated: bool
) -> list[TargetPrecision]:
    """Return the files to export.

    Args:
        targets: the names of the targets.
        precisions: the precisions to export; empty for all that a target offers, int8 only with calibration.
        calibrated: whether there are calibration crops.

    Raises:
        ExportError: a target is unknown or not installed, no target offers a precision, or int8 has no calibration.
    """
    resolved = [get_target(name) for name in dict.fromkeys(targets)]
    if not resolved:
        raise ExportError("no target was named; give at least one, e.g. --to onnx")
    for target in resolved:
        target.check_installed()
    offered = {precision for target in resolved for precision in target.precisions}
    for precision in precisions:
        if precision not in offered:
            raise ExportError(f"{', '.join(targets)}: no file in {precision}; offered are {', '.join(sorted(offered))}")
    if "int8" in precisions and not calibrated:
        raise ExportError("int8 files need faces to set their ranges by; give --calibration FACES of the training set")
    return [(target.name, precision) for target in resolved for precision in target.precisions
            if (precision in precisions if precisions else calibrated or precision != "int8")]


def write_package(
    source: ExportSource, out: Path, targets: Sequence[TargetPrecision], validator: ExportValidator, *,
    results: Mapping[str, Any], provenance: Mapping[str, Any],
    int8_source: Callable[[int], ExportSource] | None = None,
) -> Package:
    """Export a network and write its files, ``card.md`` and ``metadata.json`` into one folder.

    The folder is written completely, by one rename, or not at all: if a file is refused, so is the package. An
    existing package is never changed.

    Args:
        source: the network to export.
        out: the folder to write, which must not exist or be empty.
        targets: the files to export, see `resolve_targets`.
        validator: the validator of the source.
        results: evaluation results for card and metadata, JSON-able.
        provenance: origin of the model (run, data, teacher), JSON-able; `LICENSES` are the defaults of its licenses.
        int8_source: returns the source of int8 files for an `int8_weight_max`; None for the equalized ``source``. It
            is called once for each value, just before the first file that needs it.

    Raises:
        ExportError: the folder is not empty, the source's name is not a file name, or a file was refused.
    """
    plain_name(source.name, "the package's name", ExportError)
    with files.atomic_folder(out, ExportError) as folder:
        metadata = _metadata(source, results, provenance)
        instances = {name: get_target(name) for name, _ in targets}
        get_int8_source = cache(int8_source or (lambda weight_max: equalize(source)))
        for name, precision in targets:
            target = instances[name]
            file_source = get_int8_source(target.int8_weight_max) if precision == "int8" else source
            metadata["files"][f"{name} {precision}"] = _export_file(target, precision, file_source, folder, validator)
        for entry in metadata["files"].values():
            entry["device_command"] = _device_command(instances[entry["target"]], entry, metadata)
        files.write_text(folder / "card.md", render_model_card(metadata))
        metadata["sha256"] = {str(file.relative_to(folder)): files.sha256(file)
                              for file in sorted(folder.rglob("*")) if file.is_file()}
        files.write_versioned(folder / "metadata.json", "package", VERSION, metadata)
    return Package(out, read_metadata(out / "metadata.json", ExportError))


def _export_file(target: Target, precision: Precision, source: ExportSource, folder: Path,
                 validator: ExportValidator) -> dict[str, Any]:
    """Convert, validate and time one file; return its entry in the metadata."""
    converted = target.convert(source, precision, folder)
    open_file = cache(partial(target.open, converted.files, source.io_spec))  # once, for validation and timing
    # The name without the folder, which is temporary: it no longer exists when somebody reads a message.
    label = Path(converted.files[0].name)
    report = validator.validate(label, precision, open_file, _measure_layers(converted, precision, source))
    return {
        "target": target.name, "precision": precision, "files": [file.name for file in converted.files],
        "bytes": sum(map(_count_bytes, converted.files)), "versions": target.versions(),
        "notes": [*converted.notes, *([report.note] if report.note else [])], "validation": report.to_dict(),
        "latency": "not run" if report.status == "not run" else asdict(measure_latency(open_file())),
    }


def _device_command(target: Target, entry: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Return the command that times a file on a phone; it names the target's first file if weights do not matter."""
    timed = entry
    if target.times_graph_only:
        timed = next(other for other in metadata["files"].values() if other["target"] == target.name)
    return target.device_command.format(files=shlex.join(timed["files"]), size=metadata["size"], threads=1)


def _measure_layers(converted: ConvertedFiles, precision: Precision, source: ExportSource) -> MeasureLayers | None:
    """Return a function that measures the error of each layer of an int8 ONNX file."""
    int8_path = converted.files[0]
    if precision != "int8" or int8_path.suffix != ".onnx" or source.calibration is None:
        return None
    crops = source.calibration[:LAYER_CROPS]

    def measure() -> list[tuple[str, float]]:
        """Compare with a float32 file of the source of the int8 file, which can differ from that of the package."""
        with tempfile.TemporaryDirectory() as folder:
            (float_path,) = get_target("onnx").convert(source, "fp32", Path(folder)).files
            return layer_snr(float_path, int8_path, crops)

    return measure


def _count_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in paths if file.is_file())


def _metadata(source: ExportSource, results: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": source.name, "model": source.spec.to_dict(), "parameters": count_parameters(source.network),
        "macs": count_macs(source.network, source.spec.size), "size": source.io_spec.size,
        "dimension": source.io_spec.dimension, "io_format": asdict(source.format),
        "preprocessing": f"RGB, {source.format.scaling}, [batch, 3, size, size]", "files": {},
        "results": dict(results), "provenance": {**LICENSES, **provenance},
    }
