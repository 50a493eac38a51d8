"""``facekd align``, ``pack`` and ``doctor``: from photographs to a face set one can trust."""

from __future__ import annotations

import os
from pathlib import Path

from facekd.data.align import AlignSummary, align_folder
from facekd.data.detect import open_detector
from facekd.data.doctor import Diagnosis, examine
from facekd.data.faceset import open_faces
from facekd.data.pack import Packed
from facekd.data.pack import pack as pack_faces
from facekd.errors import SetupError

DETECTOR_VARIABLE = "FACEKD_DETECTOR"


def find_detector(given: Path | str | None) -> Path:
    """The detector's file: the given one, or what ``$FACEKD_DETECTOR`` names.

    Raises:
        SetupError: neither is given; the message says where to get one.
    """
    chosen = given or os.environ.get(DETECTOR_VARIABLE)
    if not chosen:
        raise SetupError(
            f"a face detector is needed: give --detector FILE or set {DETECTOR_VARIABLE}. "
            "YuNet (Apache-2.0, 0.3 MB) is face_detection_yunet in OpenCV's model zoo; "
            "InsightFace's SCRFD models (det_*.onnx) work as well"
        )
    return Path(chosen)


def align(photos: Path | str, out: Path | str, detector: Path | str | None = None, size: int = 112) -> AlignSummary:
    """Find the largest face of every photograph and warp it to the ArcFace template.

    Args:
        photos: folder with one subfolder a person.
        out: the image folder to write; crops that are there already are not made again.
        detector: YuNet or SCRFD as ONNX; default ``$FACEKD_DETECTOR``.
        size: side of the crops in pixels.

    Raises:
        DataError: no photographs.
        SetupError: no detector.
    """
    return align_folder(Path(photos), Path(out), open_detector(find_detector(detector)), size)


def pack(folder: Path | str, out: Path | str) -> Packed:
    """Write a face set as InsightFace RecordIO (``train.rec``, ``train.idx``, ``property``, ``names.txt``).

    Raises:
        DataError: images are not square, differ in size or do not decode; ``out`` holds a set already.
    """
    return pack_faces(open_faces(folder), Path(out))


def doctor(*faces: Path | str) -> Diagnosis:
    """Examine face sets one by one and against each other.

    Raises:
        DataError: one of them cannot be opened at all.
    """
    return examine([open_faces(path) for path in faces])
