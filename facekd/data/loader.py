"""Batches of a face set in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data import views
from facekd.data.faceset import FaceSet
from facekd.errors import DataError
from facekd.progress import progress

DECODERS = 4
"""Decoding threads: OpenCV releases the interpreter lock, so few of them keep a network of this size fed."""

AHEAD = 3
"""Batches decoded ahead of the one in use."""


@dataclass(frozen=True)
class Batch:
    """One training step's data.

    Attributes:
        images: uint8 [batch, size, size, 3], RGB, mirrored where ``flipped``.
        labels: int64 [batch].
        index: int64 [batch], position in the face set; with ``flipped`` it is the key into a teacher cache.
        flipped: bool [batch].
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    flipped: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        moved = (t.to(device, non_blocking=True) for t in (self.images, self.labels, self.index, self.flipped))
        return Batch(*moved)


class Loader:
    """Shuffled batches of one face set, the incomplete last one dropped; mirroring is the only augmentation.

    Stronger augmentations hurt small face networks (RandAugment costs a MobileFaceNet four points of MegaFace rank-1,
    cavaface's model zoo), and a mirrored view can be looked up in a teacher cache.

    Args:
        faces: the face set.
        size: side of the crops in pixels.
        batch: images a step.
        seed: order and mirroring follow from (seed, epoch).
        memory: GiB of decoded crops to keep; a larger set is decoded anew every epoch.
    """

    def __init__(self, faces: FaceSet, size: int, batch: int, seed: int, memory: float = 2.0) -> None:
        if len(faces) < batch:
            raise DataError(
                f"{faces.path} holds {len(faces)} images, fewer than one batch of {batch}; set schedule.batch lower"
            )
        self.faces, self.size, self.batch, self.seed = faces, size, batch, seed
        self.steps = len(faces) // batch
        fits = len(faces) * size * size * 3 <= memory * 2**30
        self._decoded = decode_all(faces, size) if fits else None

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``first_step`` on (a resumed run begins in the middle)."""
        order, flipped = schedule(len(self.faces), self.seed, epoch)
        steps = slice(first_step * self.batch, self.steps * self.batch)
        return self._batches(order[steps], flipped[steps])

    def every_view(self) -> Iterator[Batch]:
        """Every image as it is, then every image mirrored, in order, none dropped: what a teacher cache holds."""
        images = len(self.faces)
        return self._batches(np.tile(np.arange(images), 2), np.repeat([False, True], images))

    def _batches(self, order: NDArray[np.int64], flipped: NDArray[np.bool_]) -> Iterator[Batch]:
        chunks = [slice(first, first + self.batch) for first in range(0, len(order), self.batch)]
        if self._decoded is not None:
            for chunk in chunks:
                yield self._batch(self._decoded[order[chunk]], order[chunk], flipped[chunk])
            return
        with ThreadPoolExecutor(DECODERS) as pool:
            waiting: deque[tuple[slice, list[Future[NDArray[np.uint8]]]]] = deque()
            for chunk in [*chunks, *[slice(0)] * AHEAD]:
                waiting.append((chunk, [pool.submit(_crop, self.faces, i, self.size) for i in order[chunk].tolist()]))
                if len(waiting) > AHEAD:
                    ready, crops = waiting.popleft()
                    yield self._batch(np.stack([c.result() for c in crops]), order[ready], flipped[ready])

    def _batch(self, crops: NDArray[np.uint8], index: NDArray[np.int64], flipped: NDArray[np.bool_]) -> Batch:
        crops = np.where(flipped[:, None, None, None], crops[:, :, ::-1], crops)
        labels = self.faces.labels[index]
        return Batch(torch.from_numpy(crops), torch.from_numpy(labels), torch.from_numpy(index),
                     torch.from_numpy(flipped))


def schedule(images: int, seed: int, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Order and mirroring of one epoch.

    Returns:
        int64 [images], a permutation; bool [images], which positions of it are mirrored.
    """
    generator = np.random.default_rng([seed, epoch])
    return generator.permutation(images), generator.random(images) < 0.5


def decode_all(faces: FaceSet, size: int) -> NDArray[np.uint8]:
    """Decode a whole face set: uint8 [images, size, size, 3], RGB.

    Raises:
        DataError: an image does not decode; the message names it.
    """
    crops = np.empty((len(faces), size, size, 3), np.uint8)
    with ThreadPoolExecutor(DECODERS) as pool, progress("decode", len(faces)) as advance:
        for index, crop in enumerate(pool.map(lambda i: _crop(faces, i, size), range(len(faces)))):
            crops[index] = crop
            advance(1, "")
    return crops


def _crop(faces: FaceSet, index: int, size: int) -> NDArray[np.uint8]:
    return views.crop_of(faces.read(index), size, faces.where(index))
