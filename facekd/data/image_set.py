"""The image set: labelled images in a fixed order, whatever they show and whatever container they come in."""

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


@dataclass(frozen=True)
class Fingerprint:
    """What an image set holds, whatever its container: a folder and the RecordIO packed from it share one.

    Attributes:
        content: hexadecimal SHA-256 over label and content of every image, in order.
        classes: number of labels.
        images: number of images.
    """

    content: str
    classes: int
    images: int


class ImageSet(ABC):
    """Labelled images in a fixed order, read one at a time; safe to read from many threads.

    Attributes:
        path: the folder or file the set was opened from.
        labels: int64 [images], the class of each image, 0 to classes-1; in a face set a class is a person.
        names: one name a class; where the container holds none, the label as text.
    """

    path: Path
    labels: NDArray[np.int64]
    names: list[str]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes, those without an image included."""
        return len(self.names)

    @abstractmethod
    def pixels(self, index: int) -> Pixels:
        """Image ``index``: uint8 [height, width, 3], RGB.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The bytes of image ``index`` as they lie in the container, encoded or not: what the fingerprint hashes."""

    @abstractmethod
    def where(self, index: int) -> str:
        """Where a person finds image ``index``: a file, or a container and the record in it."""

    def name(self, index: int) -> str:
        """What image ``index`` is called wherever its container lies: a relative path with '/'; by default `where`."""
        return self.where(index)

    def several(self, index: Sequence[int]) -> Iterator[Pixels | DataError]:
        """What `pixels` gives for each of these images, or raises for it."""
        return (attempt(self.pixels, one) for one in index)

    def fingerprint(self) -> Fingerprint:
        """Read every image once and hash the set's content (about 1 GB/s)."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels.tolist()):
            data = self.content(index)
            digest.update(b"%d %d\n" % (label, len(data)))
            digest.update(data)
        return Fingerprint(digest.hexdigest(), self.classes, len(self))


def attempt(read: Callable[[int], T], index: int) -> T | DataError:
    """What ``read`` gives for an image, or the DataError it raises."""
    try:
        return read(index)
    except DataError as problem:
        return problem


class Place:
    """Where an image lies, spelled only when somebody asks: `ImageSet.where` as an object with a text."""

    __slots__ = ("images", "index")

    def __init__(self, images: ImageSet, index: int) -> None:
        self.images, self.index = images, index

    def __str__(self) -> str:
        return self.images.where(self.index)


class Subset(ImageSet):
    """Some images of a set, with all of its classes.

    Args:
        whole: the set.
        index: int64 [images], which of its images, in the order they shall have here.
    """

    def __init__(self, whole: ImageSet, index: NDArray[np.int64]) -> None:
        self.whole, self.index = whole, index
        self.path, self.names, self.labels = whole.path, whole.names, whole.labels[index]

    def pixels(self, index: int) -> Pixels:
        """See `ImageSet.pixels`."""
        return self.whole.pixels(int(self.index[index]))

    def several(self, index: Sequence[int]) -> Iterator[Pixels | DataError]:
        """See `ImageSet.several`."""
        return self.whole.several(self.index[index].tolist())

    def content(self, index: int) -> bytes:
        """See `ImageSet.content`."""
        return self.whole.content(int(self.index[index]))

    def where(self, index: int) -> str:
        """See `ImageSet.where`."""
        return self.whole.where(int(self.index[index]))

    def name(self, index: int) -> str:
        """See `ImageSet.name`."""
        return self.whole.name(int(self.index[index]))


def withhold(whole: ImageSet, share: float) -> tuple[Subset, Subset]:
    """Part a slice from a training set; the same images whatever the run's seed, so that all methods go without them.

    Args:
        whole: the training set.
        share: of the images that are withheld, in [0, 1).

    Returns:
        What is left for training, and the withheld slice; both in the set's order.
    """
    order = np.random.default_rng(0).permutation(len(whole))
    withheld = round(share * len(whole))
    return Subset(whole, np.sort(order[withheld:])), Subset(whole, np.sort(order[:withheld]))
