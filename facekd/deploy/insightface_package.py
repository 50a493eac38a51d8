"""A model package of InsightFace 2: a folder with our recognizer, the user's detector, and a manifest of both."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.alignment.detector_file import Scrfd, open_detector
from facekd.deploy.package import Package
from facekd.errors import ExportError, FacekdError
from facekd.io import files

MANIFEST_VERSION = 2
LICENSE_FILE = "MODEL.LICENSE"
"""The name of the file for InsightFace's signed license. A manifest must name it; the file itself is optional."""


def write_insightface_package(package: Package, detector: Path, out: Path) -> None:
    """Write a folder with a package's ONNX file and a detector, which ``insightface.app.FaceAnalysis`` loads by path.

    It contains ``recognition.onnx`` (the most precise ONNX file of the package), ``detection.onnx``, ``manifest.json``
    with both tasks and their SHA-256, and the package's ``card.md``. It is written completely, by one rename, or not
    at all.

    Args:
        package: a package with an ONNX file.
        detector: an ONNX file of the user, see `check_insightface_compatibility`.
        out: the folder to write, which must not exist or be empty.

    Raises:
        ExportError: ``out`` is not empty, or see `check_insightface_compatibility`.
        DataError: the detector file does not exist.
        ModelError: the file is not a detector.
    """
    metadata = package.metadata
    entries = metadata["files"].values()
    check_insightface_compatibility(metadata["size"], {entry["target"] for entry in entries}, detector)
    recognizer = next(entry for entry in entries if entry["target"] == "onnx")["files"][0]
    with files.atomic_folder(out, ExportError) as folder:
        shutil.copyfile(package.path / recognizer, folder / "recognition.onnx")
        shutil.copyfile(detector, folder / "detection.onnx")
        shutil.copyfile(package.path / "card.md", folder / "card.md")
        checksums = {task: files.sha256(folder / f"{task}.onnx") for task in ("detection", "recognition")}
        files.write_json(folder / "manifest.json", _manifest(metadata, checksums))


def check_insightface_compatibility(size: int, targets: Collection[str], detector: Path) -> None:
    """Raise an error, before anything is written, if recognizer and detector do not fit a package of InsightFace.

    The detector must be an SCRFD (Guo et al., ICLR 2022) with five landmarks. It takes images of one fixed size or of
    any size and has nine outputs: scores, boxes and landmarks, each at strides 8, 16 and 32 with two anchors at each
    position.

    Args:
        size: side of the recognizer's input in pixels.
        targets: the targets it is exported to.
        detector: an ONNX file of the user; InsightFace runs it once, on a black image.

    Raises:
        ExportError: no ONNX file is exported, InsightFace does not align faces to this size, or the detector is of
            another type.
        DataError: the detector file does not exist.
        ModelError: the file is not a detector that gives five landmarks.
    """
    if "onnx" not in targets:
        raise ExportError(f"InsightFace runs ONNX files, and this package has {', '.join(sorted(targets))} alone; "
                          "export to onnx as well")
    if size % 112 and size % 128:
        raise ExportError(f"InsightFace aligns faces to 112 or 128 pixels and their multiples, and this network takes "
                          f"{size}x{size}; distill one of 112 (model.size=112), or leave the detector out")
    problem = f"{detector} cannot be the detector of an InsightFace package"
    remedy = "give an SCRFD with five points (scrfd_*_kps.onnx, or det_*.onnx of a model pack)"
    try:
        opened = open_detector(detector)
        if not isinstance(opened, Scrfd):
            raise ExportError(f"{problem}: it is a {type(opened).__name__}; {remedy}")
        opened.detect(np.zeros((640, 640, 3), np.uint8))
    except FacekdError:
        raise
    except Exception as error:  # errors of ONNX Runtime, InsightFace and NumPy have no common base class
        reason = " ".join(str(error).split())
        raise ExportError(f"{problem}: InsightFace fails to run it ({reason}); {remedy}") from error


def _manifest(metadata: Mapping[str, Any], checksums: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of InsightFace's manifest; the detector needs no preprocessing entry, it has the default."""
    tasks: dict[str, dict[str, Any]] = {
        task: {"file": f"{task}.onnx", "sha256": checksum} for task, checksum in checksums.items()
    }
    scaled_by_client = metadata["io_format"]["input_dtype"] == "float"
    tasks["recognition"] |= {
        "input_size": [metadata["size"]] * 2, "embedding_dimension": metadata["dimension"],
        "preprocessing": {"mean": 127.5, "std": 127.5} if scaled_by_client else "embedded",
    }
    # The prefix keeps the package from being taken for one of InsightFace's, whose licenses depend on this name.
    model_id = "facekd-" + re.sub(r"[^A-Za-z0-9._-]", "-", metadata["name"])[:100]
    return {"manifest_version": MANIFEST_VERSION, "model_id": model_id, "display_name": metadata["name"],
            "license": LICENSE_FILE, "tasks": tasks}
