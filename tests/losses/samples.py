"""Helpers for tests of losses: random outputs, and the value of a loss for them."""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.losses import create_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

CLASSES = 10


def logits(spread: float = 3.0, rows: int = 6, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Return random logits of a student and a teacher, float32 [rows, classes]."""
    generator = torch.Generator().manual_seed(5)
    return (spread * torch.randn(rows, classes, generator=generator),
            spread * torch.randn(rows, classes, generator=generator))


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def maps(channels: int, side: int, seed: int) -> Tensor:
    """Return random feature maps of 3 images, float32 [3, channels, side, side]."""
    return features(3, channels, side, side, seed=seed, dtype=torch.float32)


def make_output(*stages: Tensor) -> ModelOutput:
    """Return an output with these feature maps of 3 images, see `maps`."""
    return ModelOutput(torch.zeros(3, 2), stages)


def with_features(pre_logits: Tensor, outputs: int) -> ModelOutput:
    """Return an output with features [N, F] and with N x outputs zeros."""
    return ModelOutput(torch.zeros(len(pre_logits), outputs), pre_logits=pre_logits)


def compute_loss(
    name: str, student: ModelOutput, teacher: ModelOutput, labels: Tensor | None = None, progress: float = 0.5, /,
    **options: Any,
) -> Tensor:
    """Return the value of a loss that is created from the same outputs."""
    loss = create_loss(name, student, teacher, DatasetSize(9, CLASSES), **options)
    images = torch.arange(len(student.outputs))
    if labels is None:
        labels = torch.zeros_like(images)
    value: Tensor = loss(student, teacher, BatchContext(labels, images, progress))
    return value


def loss_of_logits(
    name: str, student: Tensor, teacher: Tensor, labels: Tensor | None = None, /, **options: Any
) -> Tensor:
    """Return the value of a loss for two networks' logits."""
    return compute_loss(name, ModelOutput(student), ModelOutput(teacher), labels, **options)


def loss_of_features(name: str, student: Tensor, teacher: Tensor, /, **options: Any) -> Tensor:
    """Return the value of a loss for two networks' features; their outputs have different lengths."""
    return compute_loss(name, with_features(student, 2), with_features(teacher, 3), **options)


def softmax(row: NDArray[Any]) -> list[float]:
    """Return the softmax of a row, in Python's float64."""
    powers = [math.exp(x - row.max()) for x in row]
    return [power / sum(powers) for power in powers]
