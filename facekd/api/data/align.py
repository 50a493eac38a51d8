"""``facekd align``: crops of the faces in photographs, aligned by their landmarks."""

from __future__ import annotations

from pathlib import Path

from facekd.data.alignment.align import AlignSummary, align_folder
from facekd.data.alignment.detector import find_detector, open_detector


def align(photos: Path | str, out: Path | str, *, detector: Path | str | None = None, size: int = 112) -> AlignSummary:
    """Detect the largest face of every photograph and warp it to ArcFace's landmark template.

    Args:
        photos: a folder with one subfolder per identity.
        out: the image folder to write; existing crops are kept.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        size: side of the crops in pixels.

    Raises:
        DataError: the folder has no photographs.
        SetupError: there is no detector.
    """
    return align_folder(Path(photos), Path(out), open_detector(find_detector(detector)), size)
