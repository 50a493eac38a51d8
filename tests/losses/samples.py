"""What tests of losses share: answers made of noise, and what a loss says of them."""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.losses import create_loss
from facekd.types import Answer, Question, Size

CLASSES = 10


def logits(spread: float = 3.0, rows: int = 6, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """A student's and a teacher's, float32 [rows, classes]."""
    generator = torch.Generator().manual_seed(5)
    return (spread * torch.randn(rows, classes, generator=generator),
            spread * torch.randn(rows, classes, generator=generator))


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def maps(channels: int, side: int, seed: int) -> Tensor:
    """Of 3 images, float32 [3, channels, side, side]."""
    return features(3, channels, side, side, seed=seed, dtype=torch.float32)


def answer(*stages: Tensor) -> Answer:
    """An answer about the 3 images of `maps`."""
    return Answer(torch.zeros(3, 2), stages)


def with_features(read: Tensor, outputs: int) -> Answer:
    """An answer with features [N, F], and with N x outputs zeros that nothing is to be learnt from."""
    return Answer(torch.zeros(len(read), outputs), read=read)


def measured(
    name: str, student: Answer, teacher: Answer, labels: Tensor | None = None, done: float = 0.5, /, **options: Any
) -> Tensor:
    """What a loss, made for these very answers, says of them."""
    loss = create_loss(name, student, teacher, Size(9, CLASSES), **options)
    images = torch.arange(len(student.outputs))
    if labels is None:
        labels = torch.zeros_like(images)
    value: Tensor = loss(student, teacher, Question(labels, images, done))
    return value


def of_logits(name: str, student: Tensor, teacher: Tensor, labels: Tensor | None = None, /, **options: Any) -> Tensor:
    """What a loss says of two networks' logits."""
    return measured(name, Answer(student), Answer(teacher), labels, **options)


def of_features(name: str, student: Tensor, teacher: Tensor, /, **options: Any) -> Tensor:
    """What a loss says of two networks' features; their outputs are of different lengths."""
    return measured(name, with_features(student, 2), with_features(teacher, 3), **options)


def softmax(row: NDArray[Any]) -> list[float]:
    """In float64."""
    powers = [math.exp(x - row.max()) for x in row]
    return [power / sum(powers) for power in powers]
