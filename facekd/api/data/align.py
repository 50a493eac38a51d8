"""``facekd align``: crops of the faces in photographs, aligned by their landmarks."""

from __future__ import annotations

from pathlib import Path

from facekd.api.data.paths import require_path
from facekd.data.alignment.align import align_folder, check_size
from facekd.data.alignment.align_summary import AlignSummary
from facekd.data.alignment.detector_file import find_detector, open_detector
from facekd.utils.environment import usable_cores


def align(photos: Path | str, out: Path | str, *, detector: Path | str | None = None, size: int = 112,
          all_faces: bool = False, device: str = "auto") -> AlignSummary:
    """Detect the faces of photographs, on all cores, and warp them to ArcFace's landmark template.

    Args:
        photos: a folder with one subfolder per identity, or of photographs of anybody.
        out: the image folder to write; existing crops are kept, so that the same call continues.
        detector: YuNet or SCRFD as ONNX, or a folder that holds one, such as a model pack of InsightFace; default
            ``$FACEKD_DETECTOR``.
        size: side of the crops in pixels, 16 to 2048.
        all_faces: whether every face of a photograph becomes a crop; by default the largest one does.
        device: device of an SCRFD: ``auto``, ``cpu``, ``cuda`` or ``mps``; YuNet runs on the CPU.

    Raises:
        DataError: the size is out of range, the folder has no photographs, or the crops of ``out`` are others.
        ModelError: the file is no detector, or the folder holds none or several.
        SetupError: there is no detector, the device cannot be used, ``out`` cannot be written, or another process
            writes it.
    """
    photo_folder = require_path(photos, "the photographs")
    out_folder = require_path(out, "the output")
    check_size(size)  # before the detector is loaded
    opened = open_detector(find_detector(detector), device)
    return align_folder(photo_folder, out_folder, opened, size, all_faces=all_faces,
                        workers=min(usable_cores(), opened.max_instances))
