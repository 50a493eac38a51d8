"""The one place where pixels become what a network takes; training, evaluation and export share it."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Channels = tuple[float, float, float]

PIXELS: dict[str, tuple[Channels, Channels]] = {
    "unit": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Mean and deviation of the channels (RGB, 0 to 255): InsightFace's convention for faces, and what the
CIFAR benchmarks (CRD, mdistiller) and networks for ImageNet expect."""


def to_input(images: Tensor, pixels: str = "unit") -> Tensor:
    """Scale images, ``(x - mean) / deviation``, on the device they lie on.

    Args:
        images: uint8 [batch, size, size, 3], RGB.
        pixels: a key of ``PIXELS``; ``unit`` gives [-1, 1].

    Returns:
        float32 [batch, 3, size, size], RGB, in channels-last memory, since that is how images lie.
    """
    mean, deviation = _scale(pixels, images.device)
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(deviation)


@cache
def _scale(pixels: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation, [3, 1, 1] each, moved to a device once."""
    mean, deviation = (torch.tensor(channels, device=device).view(3, 1, 1) for channels in PIXELS[pixels])
    return mean, deviation
