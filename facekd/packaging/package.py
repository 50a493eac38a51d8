"""The package: one folder with all that goes to the phone, and what is known about it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd import files
from facekd.errors import ExportError
from facekd.models.count import macs, parameters
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.packaging.card import card
from facekd.packaging.latency import latency
from facekd.packaging.onnx import PREPROCESSING, OnnxExport, export_onnx
from facekd.packaging.parity import TOLERANCE
from facekd.packaging.quantize import Quantised, quantize_onnx

VERSION = 1
Score = Callable[[Embedder], Mapping[str, Any]]
LICENCES = ("licence_model", "licence_data")


@dataclass(frozen=True)
class PackageSummary:
    """What a package holds.

    Attributes:
        path: the folder.
        onnx: the float file and its parity.
        int8: the int8 file and its agreement with the float one; None where no calibration crops were given.
        metadata: the content of ``metadata.json``.
    """

    path: Path
    onnx: OnnxExport
    int8: Quantised | None
    metadata: dict[str, Any]

    def describe(self) -> str:
        """The package as lines to read."""
        lines = [
            f"{self.path}: {self.metadata['parameters']:,} parameters, "
            f"{self.metadata['macs'] / 1e6:.1f} M multiply-adds"
        ]
        for kind, file in self.metadata["files"].items():
            score = file.get("score")
            scored = f", accuracy {100 * score['accuracy']:.2f} % on {score['pairs_file']}" if score else ""
            lines.append(
                f"{kind}: {file['name']}, {file['bytes'] / 1e6:.2f} MB, "
                f"{file['latency']['median_ms']:.2f} ms on one thread{scored}"
            )
        lines.append(f"largest difference from the network: {self.onnx.parity.worst:.1e}")
        if self.int8:
            lines.append(
                f"int8 against float: cosine {self.int8.cosines.mean:.4f} (lowest {self.int8.cosines.minimum:.4f})"
            )
        return "\n".join([*lines, *self.onnx.notes])


def write_package(
    model: Network, out: Path, *, name: str, calibration_crops: NDArray[np.uint8] | None,
    results: Mapping[str, Any], provenance: Mapping[str, Any], calibration_images: int = 60,
    score: Score | None = None,
) -> PackageSummary:
    """Export a network and write ``NAME.onnx``, ``NAME.int8.onnx``, ``card.md`` and ``metadata.json`` into one folder.

    The folder appears whole, by one rename, or not at all; a package that stands there already is never touched.

    Args:
        model: a network of the registry; it is copied and not changed.
        out: the folder, which must not exist or be empty.
        name: what the files are called.
        calibration_crops: uint8 [images, size, size, 3] RGB from the training set; None leaves the int8 file out.
        results: what evaluation measured, JSON-able, for card and metadata.
        provenance: where the model comes from (run, data, teacher), JSON-able; ``licence_model`` and ``licence_data``
            are written as "unknown" unless they are given here.
        calibration_images: how many of the crops set the int8 ranges.
        score: evaluates one exported file, JSON-able; called for each, since int8 has an accuracy of its own.

    Raises:
        ExportError: the folder is not empty, the name is no file name, or an exported file was refused.
    """
    if not name or Path(name).name != name:
        raise ExportError(f"{name!r} cannot be a package's name; give a plain file name without a folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExportError(f"{out} exists and is not an empty folder; choose another place or remove it first")
    building = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        crops = calibration_crops
        onnx = export_onnx(model, building / f"{name}.onnx", crops=None if crops is None else crops[:64])
        int8 = None
        if crops is not None:
            int8 = quantize_onnx(onnx.path, building / f"{name}.int8.onnx", crops, images=calibration_images)
        metadata = _metadata(model, name, onnx, int8, results, provenance, score)
        files.write_text(building / "card.md", card(metadata))
        metadata["sha256"] = {file.name: files.sha256(file) for file in sorted(building.iterdir())}
        files.write_versioned(building / "metadata.json", "package", VERSION, metadata)
        building.replace(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return PackageSummary(out, _moved(onnx, out), None if int8 is None else _moved(int8, out), metadata)


def _moved(result: Any, folder: Path) -> Any:
    return replace(result, path=folder / result.path.name)


def _metadata(
    model: Network, name: str, onnx: OnnxExport, int8: Quantised | None,
    results: Mapping[str, Any], provenance: Mapping[str, Any], score: Score | None,
) -> dict[str, Any]:
    """All that is known about the package, checksums apart; JSON-able."""
    noise = {str(batch): gap for batch, gap in onnx.parity.noise.items()}
    content: dict[str, Any] = {
        "name": name,
        "model": model.spec.to_dict(),
        "size": model.spec.size,
        "dimension": model.spec.outputs,
        "preprocessing": PREPROCESSING,
        "parameters": parameters(model),
        "macs": macs(model, model.spec.size),
        "files": {"float": _file(onnx.path, score)},
        "parity": {"tolerance": TOLERANCE, "noise": noise, "crops": onnx.parity.crops},
        "notes": onnx.notes,
        "results": dict(results),
        "provenance": {**dict.fromkeys(LICENCES, "unknown"), **provenance},
    }
    if int8 is not None:
        content["files"]["int8"] = _file(int8.path, score)
        content["int8"] = {"calibrated_on": int8.calibrated_on, "cosine_to_float": asdict(int8.cosines)}
    return content


def _file(path: Path, score: Score | None) -> dict[str, Any]:
    entry = {"name": path.name, "bytes": path.stat().st_size, "latency": asdict(latency(path))}
    return entry if score is None else {**entry, "score": dict(score(OnnxEmbedder(path)))}
