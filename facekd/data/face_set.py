"""An image set of aligned face crops, independent of the container that stores them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.image_file import read_image_file
from facekd.data.image_set import ImageLocation, ImageSet, Pixels, Subset, read_or_error
from facekd.data.transforms import decode
from facekd.errors import DataError

MAX_IDENTITIES = 1 << 24
"""Largest number of identities in a set; it keeps a damaged label from filling the memory with names."""
_BLOCK = 128


class FaceSet(ImageSet):
    """Encoded images with one class per identity. Crops are square, which is checked when they are used.

    The folder format also serves photographs that are not aligned yet, and other labeled images in class sets.
    """

    @property
    def num_identities(self) -> int:
        """Number of identities, including identities without an image."""
        return self.num_classes

    @abstractmethod
    def read(self, index: int) -> bytes:
        """Return the encoded bytes (JPEG, PNG) of image ``index`` as the container stores them.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    def stored_bytes(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``."""
        return self.read(index)

    def pixels(self, index: int) -> Pixels:
        """Decode image ``index``.

        Raises:
            DataError: the bytes are not an image; the message names it.
        """
        return decode(self.read(index), ImageLocation(self, index))

    def iter_pixels(self, indices: Sequence[int]) -> Iterator[Pixels | DataError]:
        """See `ImageSet.iter_pixels`.

        Each block is read completely before it is decoded: alternating the two for each image is slower.
        """
        for start in range(0, len(indices), _BLOCK):
            block = indices[start : start + _BLOCK]
            encoded = [read_or_error(self.read, index) for index in block]
            for index, data in zip(block, encoded, strict=True):
                if isinstance(data, DataError):
                    yield data
                    continue
                try:
                    yield decode(data, ImageLocation(self, index))
                except DataError as error:
                    yield error


class FileFaces(FaceSet):
    """A face set of image files.

    Args:
        root: the folder from which the paths start.
        paths: the path of each image file, with '/'.
    """

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root = root
        self._paths = list(paths)

    def read(self, index: int) -> bytes:
        """Return the bytes of image file ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        return read_image_file(self._root / self._paths[index])

    def location(self, index: int) -> str:
        """Return the path of the image file."""
        return str(self._root / self._paths[index])

    def image_name(self, index: int) -> str:
        """Return the path of the image file relative to the root."""
        return self._paths[index]


class FaceSubset(Subset, FaceSet):
    """Some images of a face set, with all of its identities.

    Args:
        images: the full set.
        indices: int64 [n], the indices of the images in the full set, in the order of the subset.
    """

    images: FaceSet

    def __init__(self, images: FaceSet, indices: NDArray[np.int64]) -> None:
        super().__init__(images, indices)

    def read(self, index: int) -> bytes:
        """See `FaceSet.read`."""
        return self.stored_bytes(index)


def number_identities(faces: FaceSet) -> list[str]:
    """Return names for identities that have only a number: the labels from 0 to the highest label, as text.

    Raises:
        DataError: a label is negative or not below `MAX_IDENTITIES`.
    """
    invalid = np.flatnonzero((faces.labels < 0) | (faces.labels >= MAX_IDENTITIES))
    if len(invalid):
        first = int(invalid[0])
        raise DataError(
            f"{faces.location(first)} has the label {faces.labels[first]}, which is not an identity number "
            f"(0, 1, 2, ...); {len(invalid)} of {len(faces)} images have such a label: write the set again"
        )
    return [str(label) for label in range(int(faces.labels.max()) + 1)]
