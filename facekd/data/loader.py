"""Batches of an image set in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.ahead import ahead
from facekd.data.augment import COLUMNS, Augmentation, Versions
from facekd.data.imageset import ImageSet, Pixels
from facekd.errors import DataError
from facekd.progress import progress

DECODERS = 4
"""Decoding threads: OpenCV releases the interpreter lock, so few of them keep a network of this size fed."""


@dataclass(frozen=True)
class Batch:
    """One training step's data.

    Attributes:
        images: uint8 [batch, size, size, 3], RGB, in the version of this epoch.
        labels: int64 [batch].
        index: int64 [batch], position in the image set; with ``slot`` it is the key into a teacher cache.
        slot: int64 [batch]; both stay on the CPU, where caches lie.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    slot: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch with images and labels on ``device``."""
        return replace(self, images=self.images.to(device, non_blocking=True),
                       labels=self.labels.to(device, non_blocking=True))

    def parts(self, count: int) -> list[Batch]:
        """The batch in ``count`` parts of the same length, in order."""
        tensors = (self.images, self.labels, self.index, self.slot)
        return [Batch(*part) for part in zip(*(tensor.chunk(count) for tensor in tensors), strict=True)]


class Loader:
    """Shuffled batches of one image set, the incomplete last one dropped.

    Args:
        images: the set.
        size: side of the network's input in pixels.
        batch: images a step.
        seed: the order follows from (seed, epoch).
        augmentation: which versions of the images are shown; by its own seed.
        memory: GiB of decoded images to keep on ``device``; a larger set is decoded anew every epoch.
        device: where kept images lie and are cropped.
    """

    def __init__(self, images: ImageSet, size: int, batch: int, seed: int, augmentation: Augmentation,
                 memory: float = 2.0, device: torch.device | str = "cpu") -> None:
        if len(images) < batch:
            raise DataError(
                f"{images.path} holds {len(images)} images, fewer than one batch of {batch}; set schedule.batch or "
                ".accumulate lower"
            )
        self.images, self.size, self.batch, self.seed, self.augmentation = images, size, batch, seed, augmentation
        self.memory = memory
        self.steps = len(images) // batch
        fits = augmentation.fixed and len(images) * size * size * 3 <= memory * 2**30
        self._kept = torch.from_numpy(self._decode()).to(device) if fits else None

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``first_step`` on (a resumed run begins in the middle)."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.images))
        versions = self.augmentation.epoch(epoch, len(self.images))
        return self._batches(order[first_step * self.batch : self.steps * self.batch], versions)

    def run(self, step: int, count: int) -> Iterator[Batch]:
        """``count`` batches from step number ``step`` of a training on, through as many epochs as they take."""
        while count > 0:
            epoch, first = divmod(step, self.steps)
            for batch in self.epoch(epoch, first):
                yield batch
                step, count = step + 1, count - 1
                if count == 0:
                    return

    def slot(self, slot: int) -> Iterator[Batch]:
        """Every image in the set's order, none dropped, in the version that ``slot`` of a teacher cache holds."""
        return self._batches(np.arange(len(self.images)), self.augmentation.slot(slot, len(self.images)))

    def _batches(self, order: NDArray[np.int64], versions: Versions) -> Iterator[Batch]:
        chunks = [order[first : first + self.batch] for first in range(0, len(order), self.batch)]
        if self._kept is not None:
            for chunk in chunks:
                index = torch.from_numpy(chunk)
                yield self._batch(self._kept[index.to(self._kept.device)], index, versions)
            return

        def load(place: int) -> Pixels:
            return self._load(int(order[place]), versions.numbers[order[place]])

        for chunk, loaded in zip(chunks, ahead(load, len(order), self.batch), strict=True):
            yield self._batch(torch.from_numpy(np.stack(loaded)), torch.from_numpy(chunk), versions)

    def _batch(self, images: Tensor, index: Tensor, versions: Versions) -> Batch:
        chosen = index.numpy()
        images = self.augmentation.render(images, versions.numbers[chosen])
        labels, slot = torch.from_numpy(self.images.labels[chosen]), torch.from_numpy(versions.slot[chosen])
        return Batch(images, labels, index, slot)

    def _decode(self) -> NDArray[np.uint8]:
        """The whole set: uint8 [images, size, size, 3]."""
        decoded = np.empty((len(self.images), self.size, self.size, 3), np.uint8)
        unmoved = np.full(COLUMNS, 0.5)
        with ThreadPoolExecutor(DECODERS) as pool, progress("decode", len(self.images)) as advance:
            for index, image in enumerate(pool.map(lambda i: self._load(i, unmoved), range(len(self.images)))):
                decoded[index] = image
                advance(1, "")
        return decoded

    def _load(self, index: int, numbers: NDArray[np.float64]) -> Pixels:
        return self.augmentation.load(self.images.pixels(index), self.size, numbers, self.images.where(index))
