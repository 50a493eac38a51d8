"""InsightFace's verification sets (.bin): encoded images and booleans in one pickle, read without executing it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.containers.safe_pickle import loads
from facekd.data.pairs.pair_set import PairSet, build_pair_set, read_pair_file
from facekd.errors import DataError
from facekd.io.files import atomic_write

NUM_FOLDS = 10


def read_bin(path: Path) -> PairSet:
    """Read an InsightFace verification set: a pickled (list of 2 x pairs encoded images, list of pairs booleans).

    The format has no folds. The pairs are split in order into ten blocks, as in InsightFace's evaluation
    (scikit-learn's KFold without shuffling); fewer than ten pairs have one fold each.

    Raises:
        DataError: the pickle contains more than plain values (nothing of it is executed), or other values.
    """
    content = loads(read_pair_file(path), str(path))
    if not isinstance(content, (tuple, list)) or len(content) != 2 or not isinstance(content[0], (list, tuple)):
        raise DataError(f"{path} holds no (list of images, list of booleans), so it is no InsightFace verification set")
    images, same = content
    if isinstance(same, np.ndarray):
        same = same.tolist()
    if not isinstance(same, (list, tuple)) or not same or len(images) != 2 * len(same):
        count = len(same) if isinstance(same, (list, tuple)) else "no list of"
        raise DataError(f"{path} holds {len(images)} images for {count} pairs, two a pair are needed; get it again")
    encoded = [_encoded_image(image, f"{path}, image {number}") for number, image in enumerate(images, 1)]
    for number, value in enumerate(same, 1):
        if not isinstance(value, int) or value not in (0, 1):
            raise DataError(f"{path}, pair {number}: 'same' is no boolean (but {type(value).__name__}); "
                            "get the file again")
    blocks = np.array_split(np.arange(len(same)), min(NUM_FOLDS, len(same)))
    folds = [number for number, block in enumerate(blocks, 1) for _ in block]
    return build_pair_set(path, encoded[::2], encoded[1::2], same, folds)


def _encoded_image(image: Any, location: str) -> bytes:
    """Return the bytes of an image; the oldest sets store them as a uint8 array."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 1:
        image = image.tobytes()
    if not isinstance(image, bytes) or not image:
        raise DataError(f"{location} is no encoded image but {type(image).__name__} or empty; get the file again")
    return image


def write_bin(pairs: PairSet, path: Path) -> None:
    """Write a verification set that InsightFace's evaluators read, atomically.

    The pairs keep their order. The format has no folds, so a reader splits the pairs into ten blocks. An image of
    several pairs is stored once. The file is a pickle of protocol 2 that contains only bytes and booleans.

    Args:
        pairs: the pairs.
        path: the file.

    Raises:
        DataError: an image cannot be read.
        SetupError: the disk is full.
    """
    images = [pairs.read(index) for index in range(len(pairs.images))]
    order = np.stack([pairs.first, pairs.second], axis=1).ravel().tolist()
    with atomic_write(path) as temporary, temporary.open("wb") as handle:
        pickle.dump(([images[index] for index in order], pairs.same.tolist()), handle, protocol=2)
