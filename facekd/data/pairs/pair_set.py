"""Verification pairs, independent of their file format; each distinct image is stored once."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.image_file import read_image_file
from facekd.io.reading import read_bytes


@dataclass(frozen=True, eq=False)
class PairSet:
    """Pairs of images, each labeled as the same person or different persons.

    Attributes:
        source: the file from which the pairs were read.
        images: the distinct images, each as a path or as its encoded bytes, so that each is embedded once.
        first: int64 [pairs], index into ``images``.
        second: int64 [pairs], index into ``images``.
        same: bool [pairs], whether both images show the same person.
        fold: int64 [pairs], the cross-validation fold as numbered in the file; from 1 if the file has no folds.
    """

    source: Path
    images: Sequence[Path | bytes]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.same)

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of the distinct image ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        image = self.images[index]
        if isinstance(image, bytes):
            return image
        return read_image_file(image, "restore it or remove its pairs")

    def location(self, index: int) -> str:
        """Describe for a person the distinct image ``index``: its path, or the file and the first pair that has it."""
        image = self.images[index]
        if isinstance(image, Path):
            return str(image)
        pair = int(np.flatnonzero((self.first == index) | (self.second == index))[0])
        return f"{self.source}, pair {pair + 1}, {'first' if self.first[pair] == index else 'second'} image"


def build_pair_set(
    source: Path,
    first: Sequence[Path | bytes],
    second: Sequence[Path | bytes],
    same: Sequence[bool],
    fold: Sequence[int],
) -> PairSet:
    """Build a `PairSet` from the two images of every pair.

    The distinct images are numbered in order of appearance.

    Args:
        source: the file from which the pairs were read.
        first: the first image of each pair.
        second: the second image of each pair.
        same: whether both images show the same person.
        fold: the fold of each pair.
    """
    indices: dict[Path | bytes, int] = {}
    interleaved = [indices.setdefault(image, len(indices))
                   for pair in zip(first, second, strict=True) for image in pair]
    index = np.array(interleaved, np.int64)
    return PairSet(source, list(indices), index[::2], index[1::2], np.array(same, bool), np.array(fold, np.int64))


def read_pair_file(path: Path) -> bytes:
    """Return the content of a pair list.

    Raises:
        DataError: the file cannot be read.
    """
    return read_bytes(path, remedy="check the path of the pair list")


def identities_from_folders(pairs: PairSet) -> list[str] | None:
    """Infer the identity in each distinct image from its path.

    ``PERSON/0001.jpg``, ``PERSON/frontal/01.jpg`` and ``frontal/PERSON/01.jpg`` are all supported: the identity is the
    name at the folder level where the names of two paired images are equal if and only if the pair has the same person.

    Returns:
        One name per entry of ``pairs.images``; None if the images are not files, all pairs have the same label, or no
        folder level agrees with the labels.
    """
    paths = [image for image in pairs.images if isinstance(image, Path)]
    if len(paths) < len(pairs.images) or pairs.same.all() or not pairs.same.any():
        return None
    folders = [path.absolute().parent.parts for path in paths]
    first_level = len(Path(os.path.commonpath([path.absolute().parent for path in paths])).parts)
    labeled_pairs = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True))
    for level in range(first_level, min(len(parts) for parts in folders)):
        names = [parts[level] for parts in folders]
        if all((names[first] == names[second]) == same for first, second, same in labeled_pairs):
            return names
    return None
