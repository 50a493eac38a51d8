"""Which classes a step meets, where it does not meet all of them (Partial FC, An et al., CVPR 2022)."""

from __future__ import annotations

import torch
from torch import Tensor


def sampled(classes: Tensor, seed: int, step: Tensor, rate: float) -> Tensor:
    """Whether classes are negatives in a step: each by itself with a chance of ``rate``, whichever rank asks.

    Args:
        classes: int64, any shape; a class is a number in [0, 2^32).
        seed: of the training; its lowest 32 bits count.
        step: int64, a scalar.
        rate: in [0, 1].

    Returns:
        bool, same shape; where a hash of seed, step and class, in [0, 2^32), is below ``rate * 2^32``.
    """
    key = _mixed(_mixed(torch.full_like(step, seed)) ^ step)
    return _mixed(_mixed(classes) ^ key) < rate * 2**32


def _mixed(value: Tensor) -> Tensor:
    """32 bits, each of which follows from all 32 given: the finaliser of MurmurHash3 (Appleby, public domain)."""
    value = value & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
    return value ^ (value >> 16)
