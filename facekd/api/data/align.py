"""``facekd align``: crops of the faces in photographs, aligned by their landmarks."""

from __future__ import annotations

from pathlib import Path

from facekd.api.data.paths import require_path
from facekd.data.alignment.align import AlignSummary, align_folder, check_size
from facekd.data.alignment.detector import find_detector, open_detector


def align(photos: Path | str, out: Path | str, *, detector: Path | str | None = None, size: int = 112) -> AlignSummary:
    """Detect the largest face of every photograph and warp it to ArcFace's landmark template.

    Args:
        photos: a folder with one subfolder per identity.
        out: the image folder to write; existing crops are kept.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        size: side of the crops in pixels, 16 to 2048.

    Raises:
        DataError: the size is out of range, the folder has no photographs, or the crops of ``out`` are others.
        ModelError: the file is no detector.
        SetupError: there is no detector, ``out`` cannot be written, or another process writes it.
    """
    photo_folder = require_path(photos, "the photographs")
    out_folder = require_path(out, "the output")
    check_size(size)  # before the detector is loaded
    return align_folder(photo_folder, out_folder, open_detector(find_detector(detector)), size)
