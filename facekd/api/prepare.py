"""``facekd align``, ``pack`` and ``doctor``: from photographs to a face set one can trust."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from facekd.data.alignment.align import AlignSummary, align_folder
from facekd.data.alignment.detector import open_detector
from facekd.data.containers.recordio_writer import Packed
from facekd.data.containers.recordio_writer import pack as pack_faces
from facekd.data.diagnosis.diagnose import Diagnosis, examine
from facekd.data.opening import open_faces
from facekd.errors import DataError, SetupError
from facekd.preflight.preflight import preflight

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


def doctor(*faces: Path | str, recipe: Path | str | None = None, overrides: Sequence[str] = (), ranks: int = 1,
           model: Path | str | None = None) -> Diagnosis:
    """Examine face sets one by one and against each other; with a recipe, the whole training that is to be.

    Args:
        faces: face sets; beside a recipe those the result will be tested on, its training set comes first by itself.
        recipe: of teach or distill: memory, disk, batch, learning rate and data are checked before the time is spent.
        overrides: ``key=value`` on top of the recipe.
        ranks: processes that will train together.
        model: looks at the faces: wrong labels, people under two names, test people in the training set.

    Returns:
        the diagnosis; with a recipe a `facekd.preflight.preflight.Preflight`.

    Raises:
        DataError: a set cannot be opened at all, or options of a recipe are given without one.
        RecipeError: mistakes in the recipe.
        RouteError: its plan or route is damaged.
        ModelError: its network or head, or the model, cannot be made.
    """
    if recipe:
        return preflight(Path(recipe), overrides, [Path(path) for path in faces], ranks, Path(model) if model else None)
    if overrides or ranks != 1 or model or not faces:
        raise DataError("give face sets to examine, or --recipe FILE for a whole training; key=value, --ranks and "
                        "--model go with a recipe")
    return examine([open_faces(path) for path in faces])
