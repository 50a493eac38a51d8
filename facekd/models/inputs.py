"""The one place where pixels become what a network takes; training, evaluation and export share it."""

from __future__ import annotations

import torch
from torch import Tensor

MEAN = 127.5
STD = 127.5


def to_input(crops: Tensor) -> Tensor:
    """Scale crops to [-1, 1] with InsightFace's convention ``(x - 127.5) / 127.5``, on the device they lie on.

    Args:
        crops: uint8 [batch, size, size, 3], RGB.

    Returns:
        float32 [batch, 3, size, size], RGB, in channels-last memory, since that is how crops lie.
    """
    return crops.permute(0, 3, 1, 2).to(torch.float32).sub_(MEAN).div_(STD)
