"""Verification pairs in one form that names each distinct image once, whatever file they come from."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError


@dataclass(frozen=True, eq=False)
class PairSet:
    """Pairs of images to be told apart, each distinct image held (and so embedded) once.

    Attributes:
        source: the file the pairs were read from.
        images: one entry a distinct image: its path, or its encoded bytes.
        first: int64 [pairs], index into ``images``.
        second: int64 [pairs], index into ``images``.
        same: bool [pairs], whether both show one person.
        fold: int64 [pairs], the cross-validation fold, as the file numbers it (from 1 where it does not).
    """

    source: Path
    images: Sequence[Path | bytes]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.same)

    def read(self, index: int) -> bytes:
        """The encoded bytes of distinct image ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        image = self.images[index]
        if isinstance(image, bytes):
            return image
        try:
            return image.read_bytes()
        except OSError as error:
            raise DataError(f"{image} cannot be read ({error.strerror}); restore it or remove its pairs") from error

    def where(self, index: int) -> str:
        """Where a person finds distinct image ``index``: its path, or the file and the pair that uses it first."""
        image = self.images[index]
        if isinstance(image, Path):
            return str(image)
        pair = int(np.flatnonzero((self.first == index) | (self.second == index))[0])
        return f"{self.source}, pair {pair + 1}, {'first' if self.first[pair] == index else 'second'} image"


def paired(
    source: Path,
    first: Sequence[Path | bytes],
    second: Sequence[Path | bytes],
    same: Sequence[bool],
    fold: Sequence[int],
) -> PairSet:
    """Build a `PairSet` from the two images of every pair, numbering the distinct ones in order of appearance."""
    numbers: dict[Path | bytes, int] = {}
    both = [numbers.setdefault(image, len(numbers)) for pair in zip(first, second, strict=True) for image in pair]
    index = np.array(both, np.int64)
    return PairSet(source, list(numbers), index[::2], index[1::2], np.array(same, bool), np.array(fold, np.int64))


def content_of(path: Path) -> bytes:
    """The bytes of a pair list.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the pair list {path} cannot be read ({error.strerror}); check the path") from error


def people_of(pairs: PairSet) -> list[str] | None:
    """The person in each distinct image, by the folder level that agrees with every pair of the list.

    ``PERSON/0001.jpg`` as well as ``PERSON/frontal/01.jpg`` and ``frontal/PERSON/01.jpg`` are understood: the level is
    taken at which the two images of a pair share the folder's name if and only if the list calls them one person.

    Returns:
        One name an entry of ``pairs.images``; None where the images are no files, the list holds pairs of one kind
        only, or no level agrees.
    """
    paths = [image for image in pairs.images if isinstance(image, Path)]
    if len(paths) < len(pairs.images) or pairs.same.all() or not pairs.same.any():
        return None
    folders = [path.absolute().parent.parts for path in paths]
    common = len(Path(os.path.commonpath([path.absolute().parent for path in paths])).parts)
    both = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True))
    for level in range(common, min(len(parts) for parts in folders)):
        names = [parts[level] for parts in folders]
        if all((names[one] == names[other]) == same for one, other, same in both):
            return names
    return None
