"""Normalization of image pixels for networks, shared by training, evaluation and export."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

Channels = tuple[float, float, float]

NORMALIZATIONS: dict[str, tuple[Channels, Channels]] = {
    "unit": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Mean and standard deviation of the channels (RGB, 0 to 255): ``unit`` is InsightFace's convention for faces, the
others are those of the CIFAR benchmarks (CRD, mdistiller) and of networks for ImageNet."""


def normalize_images(images: Tensor, normalization: str = "unit") -> Tensor:
    """Normalize images, ``(x - mean) / std``, on their device.

    Args:
        images: uint8 [batch, size, size, 3], RGB.
        normalization: a key of ``NORMALIZATIONS``; ``unit`` gives [-1, 1].

    Returns:
        float32 [batch, 3, size, size], RGB, in channels-last memory format, which is the layout of the images.
    """
    mean, std = _mean_and_std(normalization, images.device)
    return images.permute(0, 3, 1, 2).to(torch.float32).sub_(mean).div_(std)


@cache
def _mean_and_std(normalization: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, [3, 1, 1] each; the cache avoids a copy to the device for each batch."""
    mean, std = (torch.tensor(channels, device=device).view(3, 1, 1) for channels in NORMALIZATIONS[normalization])
    return mean, std
