"""How many epochs a training gets: from the number of images, or from the minutes that are left for it."""

from __future__ import annotations

import copy
import time

import torch
from torch import nn

IMAGES_SEEN = 300_000
"""Images that a student sees by default, counted with their repetitions."""
MIN_EPOCHS, MAX_EPOCHS = 1.0, 200.0
BATCH = 64
TIMED_STEPS = 3


def default_epochs(images: int) -> float:
    """Return the epochs in which a student sees about `IMAGES_SEEN` of a number of images."""
    return _clamp(round(IMAGES_SEEN / images))


def epochs_for_minutes(minutes: float, images: int, images_per_second: float) -> float:
    """Return the epochs that fit into a time.

    Args:
        minutes: the time for the training.
        images: number of images in an epoch.
        images_per_second: the speed of the training.
    """
    return _clamp(round(60 * minutes * images_per_second / images, 1))


def training_speed(network: nn.Module, size: int, device: torch.device) -> float:
    """Measure the images per second of steps forward and backward, in float32; the network does not change.

    Args:
        network: takes float [N, 3, size, size].
        size: side of the image in pixels.
        device: the device of the training.
    """
    network = copy.deepcopy(network).to(device).train()
    images = torch.rand(BATCH, 3, size, size, device=device)
    for step in range(TIMED_STEPS + 1):
        if step == 1:  # the first step prepares memory and kernels
            start = time.perf_counter()
        loss = network(images).square().mean()
        loss.backward()
        float(loss.detach())  # waits for the device
    return TIMED_STEPS * BATCH / (time.perf_counter() - start)


def _clamp(epochs: float) -> float:
    return min(max(epochs, MIN_EPOCHS), MAX_EPOCHS)
