"""Embeddings of many images, and the files they are kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.ahead import ahead
from facekd.data.views import crop_of
from facekd.errors import DataError
from facekd.files import atomic
from facekd.models.embedder import Embedder
from facekd.progress import progress

Features = NDArray[np.float32]
ROWS = 8192
"""Rows looked at in one go, so that a memory-mapped file of any length can be checked."""


def embed_images(
    embedder: Embedder,
    read: Callable[[int], bytes],
    where: Callable[[int], str],
    count: int,
    flip: bool = True,
    batch: int = 64,
) -> Features:
    """Embed encoded crops, decoding them in threads ahead of the model.

    Args:
        embedder: the model; crops are brought to its size.
        read: gives the encoded bytes of an image; called from several threads.
        where: how a person finds an image, for errors.
        count: number of images.
        flip: sum the embeddings of image and mirror before normalising.
        batch: images the model sees at once.

    Returns:
        float32 [count, dimension], rows of unit length.

    Raises:
        DataError: an image does not decode or is no square crop, or an embedding is zero or not finite.
    """
    features = np.empty((count, embedder.dimension), np.float32)
    done = 0
    with progress("embed", count) as advance:
        for crops in ahead(lambda index: crop_of(read(index), embedder.size, where(index)), count, batch):
            features[done : done + len(crops)] = embedder.embed(np.stack(crops), flip)
            done += len(crops)
            advance(len(crops), "")
    return unit_rows(features, f"the embeddings by {embedder.name}")


def unit_rows(features: NDArray[np.floating[Any]], what: str) -> Features:
    """Rows of unit length, which makes the dot product the cosine similarity.

    Args:
        features: [rows, dimension], any float type.
        what: how a person knows these features, for the error.

    Returns:
        float32 [rows, dimension]: ``features`` itself if it is float32 and its rows have unit length (to 1e-5),
        otherwise a normalised copy.

    Raises:
        DataError: a row is zero, or holds NaN or an infinity.
    """
    norms = np.empty(len(features))
    for start in range(0, len(features), ROWS):
        norms[start : start + ROWS] = np.linalg.norm(features[start : start + ROWS].astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 1e-12)))
    if len(bad):
        rows = ", ".join(str(row) for row in bad[:5].tolist()) + (", ..." if len(bad) > 5 else "")
        raise DataError(
            f"{what}: {len(bad)} of {len(features)} rows are zero or not finite (counted from 0: {rows}); "
            "embed these images again or remove them"
        )
    if features.dtype == np.float32 and np.all(np.abs(norms - 1) <= 1e-5):
        return features.astype(np.float32, copy=False)
    unit = np.empty(features.shape, np.float32)
    for start in range(0, len(features), ROWS):
        unit[start : start + ROWS] = features[start : start + ROWS] / norms[start : start + ROWS, None]
    return unit


def write_features(path: Path, features: Features, labels: NDArray[np.int64] | None) -> None:
    """Write features to ``NAME.npy`` and, where given, their labels to ``NAME.labels.npy`` beside it.

    Each file is written atomically; stopped between the two, the features stand without labels, never with wrong ones.

    Args:
        path: must end in ``.npy``.
        features: float32 [rows, dimension].
        labels: int64 [rows], the identity of each row.

    Raises:
        DataError: the name does not end in ``.npy``.
    """
    labels_path = _labels_path(path)
    labels_path.unlink(missing_ok=True)
    for target, array in ((path, features), (labels_path, labels)):
        if array is not None:
            with atomic(target) as temporary, temporary.open("wb") as handle:
                np.save(handle, array, allow_pickle=False)


def read_features(path: Path) -> tuple[Features, NDArray[np.int64] | None]:
    """Read ``NAME.npy`` (float [rows, dimension]) and, where present, ``NAME.labels.npy`` (int [rows]) beside it.

    Returns:
        float32 [rows, dimension], rows of unit length, memory-mapped when the file holds just that and else a
        normalised copy; int64 [rows] labels or None.

    Raises:
        DataError: absent, no array of that kind, rows that are zero or not finite, or labels of another length.
    """
    labels_path = _labels_path(path)
    features = _load(path)
    if features.ndim != 2 or features.dtype.kind != "f" or not features.size:
        raise DataError(f"{path} holds {features.dtype} {features.shape}; features are floats [rows, dimension]")
    unit = unit_rows(features, str(path))
    if not labels_path.exists():
        return unit, None
    labels = _load(labels_path)
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{labels_path} holds {labels.dtype} {labels.shape}; {path.name} needs whole numbers ({len(features)},)"
        )
    return unit, np.array(labels, np.int64)


def _labels_path(path: Path) -> Path:
    if path.suffix != ".npy":
        raise DataError(f"{path}: a feature file ends in .npy; give such a name")
    return path.with_suffix(".labels.npy")


def _load(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} cannot be read as a NumPy array ({problem}); write it again") from problem
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is an archive of arrays; save one array with numpy.save")
    return array
