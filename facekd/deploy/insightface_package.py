"""A model package of InsightFace 2: a folder with our recogniser, the user's detector, and a manifest of both."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.alignment.detector import Scrfd, open_detector
from facekd.deploy.package import Package
from facekd.errors import ExportError, FacekdError
from facekd.utils import files

MANIFEST_VERSION = 2
CREDENTIAL = "MODEL.LICENSE"
"""Which file would hold InsightFace's signed licence. A manifest must name it; the file itself may be absent."""


def write_insightface_package(package: Package, detector: Path, out: Path) -> None:
    """Put a package's ONNX file and a detector into a folder that ``insightface.app.FaceAnalysis`` loads by its path.

    It holds ``recognition.onnx`` (the most precise ONNX file of the package), ``detection.onnx``, ``manifest.json``
    with both tasks and their SHA-256, and the package's ``card.md``. It appears whole, by one rename, or not at all.

    Args:
        package: as `read_package` gives it.
        detector: ONNX file of the user's, see `demand_insightface`.
        out: the folder to write, not there yet or empty.

    Raises:
        ExportError: ``out`` is not empty, or see `demand_insightface`.
        DataError: no such detector file.
        ModelError: it is no detector.
    """
    about = package.metadata
    entries = about["files"].values()
    demand_insightface(about["size"], {entry["target"] for entry in entries}, detector)
    recogniser = next(entry for entry in entries if entry["target"] == "onnx")["files"][0]
    with files.new_folder(out, ExportError) as folder:
        shutil.copyfile(package.path / recogniser, folder / "recognition.onnx")
        shutil.copyfile(detector, folder / "detection.onnx")
        shutil.copyfile(package.path / "card.md", folder / "card.md")
        sums = {task: files.sha256(folder / f"{task}.onnx") for task in ("detection", "recognition")}
        files.write_json(folder / "manifest.json", _manifest(about, sums))


def demand_insightface(size: int, targets: Collection[str], detector: Path) -> None:
    """Say before anything is written whether a recogniser and a detector can stand in one package of InsightFace.

    The detector must be an SCRFD (Guo et al., ICLR 2022) with five points. It takes pictures of one fixed size or of
    any and has nine outputs: scores, boxes and points, each at strides 8, 16 and 32 with two anchors a place.

    Args:
        size: side of the recogniser's input in pixels.
        targets: what it is exported to.
        detector: ONNX file of the user's; InsightFace runs it once, on a black picture.

    Raises:
        ExportError: no ONNX file is exported, InsightFace aligns no faces of this size, or the detector is of another
            form.
        DataError: no such file.
        ModelError: it is no detector that gives five points.
    """
    if "onnx" not in targets:
        raise ExportError(f"InsightFace runs ONNX files, and this package has {', '.join(sorted(targets))} alone; "
                          "export to onnx as well")
    if size % 112 and size % 128:
        raise ExportError(f"InsightFace aligns faces to 112 or 128 pixels and their multiples, and this network takes "
                          f"{size}x{size}; distil one of 112 (model.size=112), or leave the detector out")
    form = f"{detector} cannot be the detector of an InsightFace package"
    instead = "give an SCRFD with five points (scrfd_*_kps.onnx, or det_*.onnx of a model pack)"
    try:
        opened = open_detector(detector)
        if not isinstance(opened, Scrfd):
            raise ExportError(f"{form}: it is a {type(opened).__name__}; {instead}")
        opened.find(np.zeros((640, 640, 3), np.uint8))
    except FacekdError:
        raise
    except Exception as error:  # of ONNX Runtime, InsightFace or NumPy, which share no class
        raise ExportError(f"{form}: InsightFace fails to run it ({' '.join(str(error).split())}); {instead}") from error


def _manifest(about: Mapping[str, Any], sums: Mapping[str, str]) -> dict[str, Any]:
    """What InsightFace reads; the detector is fed as InsightFace feeds every SCRFD where nothing is said."""
    tasks: dict[str, dict[str, Any]] = {task: {"file": f"{task}.onnx", "sha256": value} for task, value in sums.items()}
    scaled_outside = about["form"]["pixels"] == "float"
    tasks["recognition"] |= {
        "input_size": [about["size"]] * 2, "embedding_dimension": about["dimension"],
        "preprocessing": {"mean": 127.5, "std": 127.5} if scaled_outside else "embedded",
    }
    # Its own prefix, so that no package is taken for one of InsightFace's, whose licences go by this name.
    model_id = "facekd-" + re.sub(r"[^A-Za-z0-9._-]", "-", about["name"])[:100]
    return {"manifest_version": MANIFEST_VERSION, "model_id": model_id, "display_name": about["name"],
            "license": CREDENTIAL, "tasks": tasks}
