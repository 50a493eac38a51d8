"""InsightFace's verification sets (.bin): encoded images and booleans in one pickle, read without trusting it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.containers.safe_pickle import loads
from facekd.data.pairs.pair_set import PairSet, content_of, paired
from facekd.errors import DataError
from facekd.utils.files import atomic

FOLDS = 10


def read_bin(path: Path) -> PairSet:
    """Read an InsightFace verification set: a pickled (list of 2 x pairs encoded images, list of pairs booleans).

    It holds no folds; pairs are split in order into ten blocks, as InsightFace's evaluation does
    (scikit-learn's KFold without shuffling), or into as many as there are pairs.

    Raises:
        DataError: the pickle wants more than plain values (nothing is run), or holds something else.
    """
    content = loads(content_of(path), str(path))
    if not isinstance(content, (tuple, list)) or len(content) != 2 or not isinstance(content[0], list):
        raise DataError(f"{path} holds no (list of images, list of booleans), so it is no InsightFace verification set")
    images, same = content[0], content[1].tolist() if isinstance(content[1], np.ndarray) else content[1]
    if not isinstance(same, list) or not same or len(images) != 2 * len(same):
        pairs = len(same) if isinstance(same, list) else "no list of"
        raise DataError(f"{path} holds {len(images)} images for {pairs} pairs, two a pair are needed; get it again")
    encoded = [_encoded(image, f"{path}, image {number}") for number, image in enumerate(images, 1)]
    for number, value in enumerate(same, 1):
        if not isinstance(value, int) or value not in (0, 1):
            kind = type(value).__name__
            raise DataError(f"{path}, pair {number}: 'same' is no boolean (but {kind}); get the file again")
    blocks = np.array_split(np.arange(len(same)), min(FOLDS, len(same)))
    fold = [number for number, block in enumerate(blocks, 1) for _ in block]
    return paired(path, encoded[::2], encoded[1::2], same, fold)


def _encoded(image: Any, where: str) -> bytes:
    """Early sets hold each image's bytes as a uint8 array."""
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 1:
        image = image.tobytes()
    if not isinstance(image, bytes) or not image:
        raise DataError(f"{where} is no encoded image but {type(image).__name__} or empty; get the file again")
    return image


def write_bin(pairs: PairSet, path: Path) -> None:
    """Write a verification set that InsightFace's evaluators read, atomically.

    Pairs keep their order; the form holds no folds, so a reader makes ten blocks of the order. An image that stands in
    several pairs is stored once. The file is a pickle of protocol 2 that holds bytes and booleans only.

    Raises:
        DataError: an image cannot be read.
    """
    distinct = [pairs.read(index) for index in range(len(pairs.images))]
    both = np.stack([pairs.first, pairs.second], axis=1).ravel().tolist()
    with atomic(path) as temporary, temporary.open("wb") as handle:
        pickle.dump(([distinct[index] for index in both], pairs.same.tolist()), handle, protocol=2)
