"""Activation boundaries: for every neuron, which images it fires for, and not how strongly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, paired
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size

MARGIN = 1.0
"""How far on the teacher's side of 0 a response costs nothing; as in the paper."""

SCALE = 3 / 1000
"""Of the sum over all elements; the benchmark's."""


@register
class ActivationBoundaries(Loss):
    """Distillation of activation boundaries (Heo et al., AAAI 2019), as the benchmark of CRD has it.

    Where the teacher's neuron fires (F_t > 0), the student's response r is brought to at least 1, and elsewhere to at
    most -1: the square of what is missing is summed over all elements of a map, divided by the number of images, and
    multiplied with 3/1000. Of L stages, counted from 0 at the shallowest, stage i weighs 2^(i - L + 1): the last 1, the
    one before 1/2. r is a 1x1 convolution without bias and a batch norm on the student's map, as wide as the teacher's.

    The teacher's map may stand before or after its ReLU, because only where it is above 0 counts. A map that ends in
    anything else (a batch norm, a PReLU) has its boundary at 0 as well.

    Stages are paired from the deep end (`stages.paired`); where the sides differ, the larger map is averaged down to
    the smaller. A teacher's map after a ReLU that is averaged down fires where any of the averaged places did.

    Paper and benchmark have it as a first stage, before the student learns from labels alone: as a ``method`` it has
    the first eighth of the training to itself (the benchmark: 30 epochs before its 240). Under ``losses`` it counts
    from ``begin`` to ``end``, like any other.
    """

    name = "ab"
    paper = "Heo et al., Knowledge Transfer via Distillation of Activation Boundaries, AAAI 2019"
    equation = (
        "3/1000 sum_i 2^(i - L + 1) / N sum over all elements of max(0, 1 - y r(F_s))^2, y = 1 where F_t > 0, else -1"
    )
    weight = 1.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020), there before the labels and not beside them"
    first = 30 / 240
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        self.connectors = nn.ModuleList(_connector(*pair) for pair in paired(student, teacher, self.name))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        count = len(self.connectors)
        pairs = paired(student, teacher, self.name, count)
        stages = zip(self.connectors, pairs, strict=True)
        return SCALE * torch.stack([
            2.0 ** (i - count + 1) * _missing(connector, *pair) for i, (connector, pair) in enumerate(stages)
        ]).sum()


def _connector(own: Tensor, target: Tensor) -> nn.Sequential:
    """From a student's map to responses as wide as the teacher's; made from a sample of both."""
    dtype = exact(own)
    channels = target.shape[1]
    return nn.Sequential(
        nn.Conv2d(own.shape[1], channels, kernel_size=1, bias=False, dtype=dtype), Norm(channels, dtype=dtype)
    )


def _missing(connector: nn.Module, own: Tensor, target: Tensor) -> Tensor:
    """The squared hinge of one stage, summed over all elements, per image."""
    own, target = level(own.to(next(connector.parameters()).dtype), target)
    own, target = comparable(connector(own), target, "maps", "the connector was made for another teacher")
    side = (target > 0).to(own.dtype) * 2 - 1
    return (MARGIN - side * own).clamp_min(0).square().sum() / len(own)
