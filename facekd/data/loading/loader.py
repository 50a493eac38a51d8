"""Batches of an image set in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.image_set import ImageSet, Place
from facekd.data.loading.augmentation import COLUMNS, Augmentation, Versions
from facekd.data.loading.sampler import balanced, check_balance
from facekd.data.loading.unreadable import BadRecords, stand_ins
from facekd.data.prefetch import ahead
from facekd.distributed import part
from facekd.errors import DataError
from facekd.utils.progress import progress

_TOGETHER = 256
"""Images of a kept set that a thread decodes at once."""


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
        batch: images a step; a multiple of the number of processes.
        seed: the order follows from (seed, epoch).
        augmentation: which versions of the images are shown; by its own seed.
        memory: GiB of decoded images to keep on ``device``; a larger set is decoded anew every epoch.
        device: where kept images lie and are cropped.
        place: rank and number of the processes that share every batch; each has an equal, contiguous part of it.
        each: images of a person in a batch; 0: images are drawn whoever they show. See `balanced`.
        bad: takes up images that cannot be read, and in their place the next of the (part of the) batch comes twice,
            with its label, index and slot. None: the first one is an error.

    Raises:
        DataError: the set is smaller than a batch, or a batch cannot be shared out among people.
    """

    def __init__(self, images: ImageSet, size: int, batch: int, seed: int, augmentation: Augmentation,
                 memory: float = 2.0, device: torch.device | str = "cpu", place: tuple[int, int] = (0, 1),
                 each: int = 0, bad: BadRecords | None = None) -> None:
        if len(images) < batch:
            raise DataError(
                f"{images.path} holds {len(images)} images, fewer than one batch of {batch}; set schedule.batch or "
                ".accumulate lower"
            )
        self.images, self.size, self.batch, self.seed, self.augmentation = images, size, batch, seed, augmentation
        if each:
            check_balance(images.labels, batch, each)
        self.memory, self.place, self.each, self.bad = memory, place, each, bad
        self.steps = len(images) // batch
        self._kept: Tensor | None = None
        self._bad = np.zeros(len(images), np.bool_)
        if augmentation.fixed and len(images) * size * size * 3 <= memory * 2**30:
            self._kept = self._decode().to(device)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``first_step`` on (a resumed run begins in the middle)."""
        random, versions = np.random.default_rng([self.seed, epoch]), self.augmentation.epoch(epoch, len(self.images))
        if self.each:
            order = balanced(self.images.labels, self.steps, self.batch, self.each, random)
        else:
            order = random.permutation(len(self.images))
        rank, world = self.place
        batches = order[first_step * self.batch : self.steps * self.batch].reshape(-1, world, self.batch // world)
        return self._batches(batches[:, rank].ravel(), versions)

    def run(self, step: int, count: int) -> Iterator[Batch]:
        """``count`` batches from step number ``step`` of a training on, through as many epochs as they take."""
        while count > 0:
            epoch, first = divmod(step, self.steps)
            for batch in self.epoch(epoch, first):
                yield batch
                step, count = step + 1, count - 1
                if count == 0:
                    return

    def whole(self) -> Loader:
        """The same loader, of whole batches and slots whatever other processes there are."""
        loader = copy.copy(self)
        loader.place = (0, 1)
        return loader

    def slot(self, slot: int) -> Iterator[Batch]:
        """The images in the set's order, none dropped, in the version that ``slot`` of a teacher cache holds.

        Where processes share the work, those of `part` for this one.
        """
        own = part(len(self.images), *self.place)
        return self._batches(np.arange(own.start, own.stop), self.augmentation.slot(slot, len(self.images)))

    def _batches(self, order: NDArray[np.int64], versions: Versions) -> Iterator[Batch]:
        size = self.batch // self.place[1]
        chunks = [order[first : first + size] for first in range(0, len(order), size)]
        if self._kept is None:
            for chunk, images in zip(chunks, self._read(chunks, versions.numbers), strict=True):
                yield self._batch(images, chunk, versions)
            return
        for chunk in chunks:
            images = self._kept[torch.from_numpy(chunk).to(self._kept.device)]
            yield self._batch(self.augmentation.render(images, versions.numbers[chunk]), chunk, versions)

    def _batch(self, images: Tensor, index: NDArray[np.int64], versions: Versions) -> Batch:
        if self._bad[index].any():
            taken = stand_ins(self._bad[index])
            images, index = images[torch.from_numpy(taken).to(images.device)], index[taken]
        labels, slot = torch.from_numpy(self.images.labels[index]), torch.from_numpy(versions.slot[index])
        return Batch(images, labels, torch.from_numpy(index), slot)

    def _decode(self) -> Tensor:
        """The whole set as it is: uint8 [images, size, size, 3]."""
        count, done = len(self.images), 0
        decoded = torch.empty((count, self.size, self.size, 3), dtype=torch.uint8)
        chunks = np.split(np.arange(count), range(_TOGETHER, count, _TOGETHER))
        with progress("decode", count) as advance:
            for images in self._read(chunks, np.full((count, COLUMNS), 0.5)):
                decoded[done : done + len(images)] = images
                done += len(images)
                advance(len(images), "")
        return decoded

    def _read(self, chunks: Sequence[NDArray[np.int64]], numbers: NDArray[np.float64]) -> Iterator[Tensor]:
        """Each chunk's images in the versions of ``numbers``, uint8 [n, size, size, 3]; bad ones hold anything."""

        def load(place: int) -> tuple[Tensor, list[tuple[int, DataError]]]:
            chunk, adapt, keeps = chunks[place].tolist(), self.augmentation.load, self.augmentation.fixed
            pixels, problems = np.empty((len(chunk), self.size, self.size, 3), np.uint8), []
            shape = pixels.shape[1:]
            for row, (index, image) in enumerate(zip(chunk, self.images.several(chunk), strict=True)):
                try:
                    if isinstance(image, DataError):
                        raise image
                    if not keeps or image.shape != shape:
                        image = adapt(image, self.size, numbers[index], Place(self.images, index))
                    pixels[row] = image
                except DataError as problem:
                    problems.append((index, problem))
            return self.augmentation.render(torch.from_numpy(pixels), numbers[chunk]), problems

        for [(images, problems)] in ahead(load, len(chunks), 1):
            for index, problem in problems:
                if self.bad is None:
                    raise problem
                self.bad.add(self.images.where(index), problem)
                self._bad[index] = True
            yield images
