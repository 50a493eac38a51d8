"""Variational information distillation: the student's maps shall tell as much of the teacher's as they can."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, paired
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size

VARIANCE = 5.0
"""Of every channel, at the beginning."""

LEAST = 1e-5
"""No variance falls below this."""


@register
class VID(Loss):
    """Sum over stages of the mean over all elements of 0.5 ((mu(F_s) - F_t)^2 / v + log v) (Ahn et al., CVPR 2019).

    This is the negative logarithm of a Gaussian with mean mu(F_s) and, for each of the teacher's channels, its own
    variance v = softplus(alpha) + 1e-5, without its constant 0.5 log 2 pi. Being a
    logarithm of a density, it has no zero to reach: it begins above 0.8 a stage, for v = 5, and falls below 0 where the
    teacher is predicted with a variance below one.

    mu is three 1x1 convolutions, with batch norm and ReLU between them, as wide as the teacher's map. The last has a
    bias; those before a batch norm need none. Batch norm uses the batch's statistics while training; a batch of one
    image with a map of one place has none, and is normalised by the running ones.

    The benchmark of CRD (Tian et al., ICLR 2020) weighs it 1, with v = 5 at the beginning. Stages are paired from the
    deep end (`stages.paired`); where the sides differ, the larger map is averaged down to the smaller, before mu.
    """

    name = "vid"
    paper = "Ahn et al., Variational Information Distillation for Knowledge Transfer, CVPR 2019"
    equation = "sum over stages of mean 0.5 ((mu(F_s) - F_t)^2 / v + log v), v = softplus(alpha_c) + 1e-5"
    weight = 1.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        self.guesses = nn.ModuleList(_Guess(*pair) for pair in paired(student, teacher, self.name))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.guesses))
        return torch.stack([guess(*pair) for guess, pair in zip(self.guesses, pairs, strict=True)]).sum()


class _Guess(nn.Module):
    """A Gaussian over one of the teacher's maps, given one of the student's; made from a sample of both."""

    def __init__(self, own: Tensor, target: Tensor) -> None:
        super().__init__()
        channels = target.shape[1]
        dtype = exact(own)
        self.mean = nn.Sequential(
            nn.Conv2d(own.shape[1], channels, kernel_size=1, bias=False, dtype=dtype), Norm(channels, dtype=dtype),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=1, bias=False, dtype=dtype), Norm(channels, dtype=dtype),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=1, dtype=dtype),
        )
        inverse = math.log(math.expm1(VARIANCE - LEAST))  # of softplus
        self.alpha = nn.Parameter(torch.full((channels, 1, 1), inverse, dtype=dtype))

    def forward(self, own: Tensor, target: Tensor) -> Tensor:
        own, target = level(own.to(self.alpha.dtype), target)
        own, target = comparable(self.mean(own), target, "maps", "the regressor was made for another teacher")
        variance = functional.softplus(self.alpha) + LEAST
        return 0.5 * ((own - target).square() / variance + variance.log()).mean()
