"""Training batches of an image set, in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.image_set import ImageLocation, ImageSet
from facekd.data.loading.augmentation import NUM_PARAMS, Augmentation, AugmentationParams
from facekd.data.loading.sampler import balanced_order, check_balanced_batch
from facekd.data.loading.unreadable import UnreadableImages, replacement_rows
from facekd.data.prefetch import prefetch
from facekd.distributed import shard_range
from facekd.errors import DataError
from facekd.utils.progress import progress_bar

_DECODE_CHUNK = 256
"""Number of images that a thread decodes at once while the decoded cache is filled."""


@dataclass(frozen=True)
class Batch:
    """The images of one training step, or one process's shard of them.

    Attributes:
        images: uint8 [batch, size, size, 3], RGB, augmented.
        labels: int64 [batch].
        index: int64 [batch], the indices in the image set. ``(index, cache_slot)`` is the key into a teacher cache.
        cache_slot: int64 [batch]. ``index`` and ``cache_slot`` stay on the CPU, where the caches are.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    cache_slot: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the same batch with images and labels on ``device``."""
        return replace(self, images=self.images.to(device, non_blocking=True),
                       labels=self.labels.to(device, non_blocking=True))

    def chunks(self, count: int) -> list[Batch]:
        """Split the batch into ``count`` batches of equal length, in order."""
        tensors = (self.images, self.labels, self.index, self.cache_slot)
        return [Batch(*chunk) for chunk in zip(*(tensor.chunk(count) for tensor in tensors), strict=True)]


class Loader:
    """Shuffled batches of one image set; the incomplete last batch of an epoch is dropped.

    Args:
        images: the image set.
        size: the side of the network's input in pixels.
        batch_size: the number of images per step over all processes; a multiple of ``world_size``.
        seed: the seed of the order.
        augmentation: the augmentation; its parameters depend on its own seed, not on ``seed``.
        decoded_cache_gib: the memory for decoded images in GiB. A larger set is decoded again in every epoch, as is any
            set under an augmentation that is not cacheable.
        device: the device that stores the decoded images and augments them.
        rank: the rank of the process. Each process has a contiguous shard of every batch, all of the same length.
        world_size: the number of processes.
        samples_per_class: the number of images per class in a batch, see `balanced_order`; 0 for a plain shuffle.
        unreadable: the log of unreadable images. Each of them is replaced by the next readable image of the same batch
            (of the shard of this process), with its label, index and cache slot. If None, the first one raises.

    Attributes:
        steps_per_epoch: the number of batches of an epoch.

    Raises:
        DataError: the set is smaller than a batch, or a batch cannot be divided among classes.
    """

    def __init__(
        self,
        images: ImageSet,
        size: int,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation,
        decoded_cache_gib: float = 2.0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        samples_per_class: int = 0,
        unreadable: UnreadableImages | None = None,
    ) -> None:
        if len(images) < batch_size:
            raise DataError(
                f"{images.path} holds {len(images)} images, fewer than one batch of {batch_size}; lower "
                "training.batch_size or training.gradient_accumulation_steps"
            )
        if samples_per_class:
            check_balanced_batch(images.labels, batch_size, samples_per_class)
        self.images = images
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.augmentation = augmentation
        self.decoded_cache_gib = decoded_cache_gib
        self.rank = rank
        self.world_size = world_size
        self.samples_per_class = samples_per_class
        self.unreadable = unreadable
        self.steps_per_epoch = len(images) // batch_size
        self._is_unreadable = np.zeros(len(images), np.bool_)
        self._decoded: Tensor | None = None
        if augmentation.is_cacheable and len(images) * size * size * 3 <= decoded_cache_gib * 2**30:
            self._decoded = self._decode_all().to(device)

    def iter_epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, beginning at ``first_step`` (a resumed run begins in the middle)."""
        generator = np.random.default_rng([self.seed, epoch])
        params = self.augmentation.epoch_params(epoch, len(self.images))
        if self.samples_per_class:
            order = balanced_order(self.images.labels, self.steps_per_epoch, self.batch_size, self.samples_per_class,
                                   generator)
        else:
            order = generator.permutation(len(self.images))
        order = order[first_step * self.batch_size : self.steps_per_epoch * self.batch_size]
        shards = order.reshape(-1, self.world_size, self.batch_size // self.world_size)
        return self._batches(shards[:, self.rank].ravel(), params)

    def iter_steps(self, first: int, count: int) -> Iterator[Batch]:
        """Yield ``count`` batches of a run, beginning at step ``first`` (from 0), over as many epochs as necessary."""
        step = first
        while step < first + count:
            epoch, first_step = divmod(step, self.steps_per_epoch)
            for batch in self.iter_epoch(epoch, first_step):
                yield batch
                step += 1
                if step == first + count:
                    return

    def iter_slot(self, slot: int) -> Iterator[Batch]:
        """Yield all images in the order of the set, in the versions that ``slot`` of a teacher cache contains.

        With several processes these are the images of this rank's `shard_range`. The last batch may be incomplete.
        """
        shard = shard_range(len(self.images), self.rank, self.world_size)
        return self._batches(np.arange(shard.start, shard.stop), self.augmentation.slot_params(slot, len(self.images)))

    def for_rank(self, rank: int, world_size: int) -> Loader:
        """Return the loader of another rank; it shares the decoded images with this one.

        ``for_rank(0, 1)`` yields complete batches in a distributed run.
        """
        loader = copy.copy(self)
        loader.rank = rank
        loader.world_size = world_size
        return loader

    def _batches(self, order: NDArray[np.int64], params: AugmentationParams) -> Iterator[Batch]:
        """Yield batches of the images at the indices ``order``."""
        shard_size = self.batch_size // self.world_size
        chunks = [order[first : first + shard_size] for first in range(0, len(order), shard_size)]
        if self._decoded is None:
            for chunk, images in zip(chunks, self._read(chunks, params.params), strict=True):
                yield self._batch(images, chunk, params)
            return
        for chunk in chunks:
            images = self._decoded[torch.from_numpy(chunk).to(self._decoded.device)]
            yield self._batch(self.augmentation.augment_batch(images, params.params[chunk]), chunk, params)

    def _batch(self, images: Tensor, index: NDArray[np.int64], params: AugmentationParams) -> Batch:
        """Build a batch; rows of unreadable images are replaced."""
        is_unreadable = self._is_unreadable[index]
        if is_unreadable.any():
            rows = replacement_rows(is_unreadable)
            images = images[torch.from_numpy(rows).to(images.device)]
            index = index[rows]
        labels = torch.from_numpy(self.images.labels[index])
        return Batch(images, labels, torch.from_numpy(index), torch.from_numpy(params.cache_slot[index]))

    def _decode_all(self) -> Tensor:
        """Decode the set without augmentation: uint8 [images, size, size, 3]."""
        count = len(self.images)
        decoded = torch.empty((count, self.size, self.size, 3), dtype=torch.uint8)
        chunks = np.split(np.arange(count), range(_DECODE_CHUNK, count, _DECODE_CHUNK))
        start = 0
        with progress_bar("decode", count) as advance:
            for images in self._read(chunks, np.full((count, NUM_PARAMS), 0.5)):  # 0.5 mirrors and shifts nothing
                decoded[start : start + len(images)] = images
                start += len(images)
                advance(len(images), "")
        return decoded

    def _read(self, chunks: Sequence[NDArray[np.int64]], params: NDArray[np.float64]) -> Iterator[Tensor]:
        """Decode and augment each chunk of indices in threads, and log unreadable images.

        Yields:
            uint8 [n, size, size, 3] per chunk; the rows of unreadable images have no defined content.
        """

        def load_chunk(number: int) -> tuple[Tensor, list[tuple[int, DataError]]]:
            """Return the images of a chunk, and the index and the error of each unreadable one."""
            chunk = chunks[number].tolist()
            pixels = np.empty((len(chunk), self.size, self.size, 3), np.uint8)
            errors = []
            for row, (index, image) in enumerate(zip(chunk, self.images.iter_pixels(chunk), strict=True)):
                try:
                    if isinstance(image, DataError):
                        raise image
                    if self.augmentation.always_prepares or image.shape != pixels.shape[1:]:
                        location = ImageLocation(self.images, index)
                        image = self.augmentation.prepare_image(image, self.size, params[index], location)
                    pixels[row] = image
                except DataError as error:
                    errors.append((index, error))
            return self.augmentation.augment_batch(torch.from_numpy(pixels), params[chunk]), errors

        for [(images, errors)] in prefetch(load_chunk, len(chunks), 1):
            for index, error in errors:
                if self.unreadable is None:
                    raise error
                self.unreadable.add(self.images.location(index), error)
                self._is_unreadable[index] = True
            yield images
