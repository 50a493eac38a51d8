"""Images in a fixed order, with or without labels, independent of what they show and of their container."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError

T = TypeVar("T")
Pixels = NDArray[np.uint8]
"""One image, uint8 [height, width, 3], RGB."""
UNLABELED = "unlabeled"
"""Name of the only class of a set without labels, also in the files of a container."""


@dataclass(frozen=True)
class DatasetFingerprint:
    """Identifies the content of an image set; a folder and the RecordIO file packed from it have the same fingerprint.

    Attributes:
        content: hexadecimal SHA-256 over the label and the stored bytes of every image, in order.
        classes: number of classes.
        images: number of images.
    """

    content: str
    classes: int
    images: int


class ImageSet(ABC):
    """Images in a fixed order, read one at a time. Reading is safe from many threads.

    Attributes:
        path: the folder or file from which the set was opened.
        labels: int64 [images], the class of each image, 0 to num_classes - 1. In a face set a class is an identity. In
            a set without labels all are 0.
        class_names: one name per class; the label as text where the container stores no names; `UNLABELED` alone in a
            set without labels.
        unlabeled_reason: why a set has no labels, for messages; empty where it has labels, or no reason is known.
    """

    path: Path
    labels: NDArray[np.int64]
    class_names: list[str]
    unlabeled_reason: str = ""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes, including classes without an image."""
        return len(self.class_names)

    @property
    def is_labeled(self) -> bool:
        """Whether the labels say what the images show."""
        return self.class_names != [UNLABELED]

    @abstractmethod
    def pixels(self, index: int) -> Pixels:
        """Return image ``index`` as uint8 [height, width, 3], RGB.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    @abstractmethod
    def stored_bytes(self, index: int) -> bytes:
        """Return the bytes of image ``index`` as the container stores them, encoded or not: the fingerprint's input."""

    @abstractmethod
    def location(self, index: int) -> str:
        """Describe for a person where image ``index`` is stored: a file, or a container and the record in it."""

    def image_name(self, index: int) -> str:
        """Return a name of image ``index`` that is independent of the container's path: a relative path with '/'.

        The default is `location`.
        """
        return self.location(index)

    def iter_pixels(self, indices: Sequence[int]) -> Iterator[Pixels | DataError]:
        """Yield for each image the result of `pixels`, or the DataError that it raises."""
        return (read_or_error(self.pixels, index) for index in indices)

    def fingerprint(self) -> DatasetFingerprint:
        """Read every image once and hash the content of the set (about 1 GB/s)."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels.tolist()):
            data = self.stored_bytes(index)
            digest.update(b"%d %d\n" % (label, len(data)))
            digest.update(data)
        return DatasetFingerprint(digest.hexdigest(), self.num_classes, len(self))


def read_or_error(read: Callable[[int], T], index: int) -> T | DataError:
    """Return ``read(index)``, or the DataError that it raises."""
    try:
        return read(index)
    except DataError as error:
        return error


class ImageLocation:
    """`ImageSet.location` of one image, computed only if it is converted to text.

    Some containers must read from disk to describe a location, so hot loops pass this object instead of the text.

    Args:
        images: the image set.
        index: the index of the image in the set.
    """

    __slots__ = ("images", "index")

    def __init__(self, images: ImageSet, index: int) -> None:
        self.images = images
        self.index = index

    def __str__(self) -> str:
        return self.images.location(self.index)


class Subset(ImageSet):
    """Some images of a set, with all of its classes.

    Args:
        images: the full set.
        indices: int64 [n], the indices of the images in the full set, in the order of the subset.
    """

    def __init__(self, images: ImageSet, indices: NDArray[np.int64]) -> None:
        self.images = images
        self.indices = indices
        self.path = images.path
        self.class_names = images.class_names
        self.unlabeled_reason = images.unlabeled_reason
        self.labels = images.labels[indices]

    def pixels(self, index: int) -> Pixels:
        """See `ImageSet.pixels`."""
        return self.images.pixels(int(self.indices[index]))

    def iter_pixels(self, indices: Sequence[int]) -> Iterator[Pixels | DataError]:
        """See `ImageSet.iter_pixels`."""
        return self.images.iter_pixels(self.indices[indices].tolist())

    def stored_bytes(self, index: int) -> bytes:
        """See `ImageSet.stored_bytes`."""
        return self.images.stored_bytes(int(self.indices[index]))

    def location(self, index: int) -> str:
        """See `ImageSet.location`."""
        return self.images.location(int(self.indices[index]))

    def image_name(self, index: int) -> str:
        """See `ImageSet.image_name`."""
        return self.images.image_name(int(self.indices[index]))


def split_validation(images: ImageSet, fraction: float) -> tuple[Subset, Subset]:
    """Split a training set into a training part and a held-out part.

    The split does not depend on the seed of the run, so all methods hold out the same images.

    Args:
        images: the training set.
        fraction: the fraction of the images to hold out, in [0, 1).

    Returns:
        The training part and the held-out part; both keep the order of the set.
    """
    order = np.random.default_rng(0).permutation(len(images))
    count = round(fraction * len(images))
    return Subset(images, np.sort(order[count:])), Subset(images, np.sort(order[:count]))
