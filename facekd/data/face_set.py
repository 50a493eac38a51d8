"""The face set: an image set of aligned crops of people, whatever the container they come in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from facekd.data.image_set import ImageSet, Pixels, Place, Subset, attempt
from facekd.data.transforms import decode
from facekd.errors import DataError

MOST = 1 << 24
"""People a set may have: a damaged label shall not fill the memory with names."""
_BLOCK = 128


class FaceSet(ImageSet):
    """Encoded images, one class a person; the crops are square, which is checked when they are used.

    The folder format serves photographs and other labelled images as well, before they are aligned or for class sets.
    """

    @property
    def identities(self) -> int:
        """Number of people, those without an image included."""
        return self.classes

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded bytes (JPEG, PNG) of image ``index``, as they lie in the container.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    def content(self, index: int) -> bytes:
        """The encoded bytes."""
        return self.read(index)

    def pixels(self, index: int) -> Pixels:
        """Image ``index``, decoded.

        Raises:
            DataError: the bytes are no image; the message names it.
        """
        return decode(self.read(index), Place(self, index))

    def several(self, index: Sequence[int]) -> Iterator[Pixels | DataError]:
        """See `ImageSet.several`; many are read, then decoded: each goes faster where it is not interrupted."""
        for first in range(0, len(index), _BLOCK):
            block = index[first : first + _BLOCK]
            for one, data in zip(block, [attempt(self.read, one) for one in block], strict=True):
                if isinstance(data, DataError):
                    yield data
                    continue
                try:
                    yield decode(data, Place(self, one))
                except DataError as problem:
                    yield problem


class FaceSubset(Subset, FaceSet):
    """Some images of a face set, with all of its people.

    Args:
        whole: the set.
        index: int64 [images], which of its images, in the order they shall have here.
    """

    whole: FaceSet

    def read(self, index: int) -> bytes:
        """See `FaceSet.read`."""
        return self.content(index)


def number_people(faces: FaceSet) -> list[str]:
    """Names for people that are known by number only: the labels 0 to the highest, as text.

    Raises:
        DataError: a label is below 0 or above 2^24, which no set reaches.
    """
    wrong = np.flatnonzero((faces.labels < 0) | (faces.labels >= MOST))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{faces.where(first)} has the label {faces.labels[first]}, which numbers no person (0, 1, 2, ...); "
            f"{len(wrong)} of {len(faces)} images are like this: write the set anew"
        )
    return [str(label) for label in range(int(faces.labels.max()) + 1)]
