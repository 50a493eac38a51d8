"""Activation boundaries: for every neuron, what images activate it, regardless of how strongly."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

MARGIN = 1.0
"""How far on the teacher's side of 0 a response costs nothing; as in the paper."""

SCALE = 3 / 1000
"""The factor of the sum over all elements, as in the benchmark of CRD."""


@register_loss
class ActivationBoundaries(Loss):
    """Distillation of activation boundaries (Heo et al., AAAI 2019), in the form of the benchmark of CRD.

    Where the teacher's neuron is active (F_t > 0), the student's response r is pulled to at least 1, and elsewhere to
    at most -1: the squared shortfall is summed over all elements of a feature map, divided by the number of images, and
    multiplied by 3/1000. Of L network stages, counted from 0 at the shallowest, stage i has weight 2^(i - L + 1): the
    last 1, the one before 1/2. r is a 1x1 convolution without bias and a batch norm on the student's feature map, as
    wide as the teacher's.

    The teacher's feature map may be taken before or after its ReLU, because only its sign counts. A feature map that
    ends in another layer (a batch norm, a PReLU) has its boundary at 0 as well.

    Network stages are paired from the deep end (`pair_feature_maps`). Where the resolutions differ, the larger map is
    averaged down to the smaller. An element of a teacher's map that was averaged down after a ReLU is active where any
    of the averaged elements was.

    Paper and benchmark use it in a first training stage, before the student learns from labels alone: as a ``method``
    it acts alone in the first eighth of the training (the benchmark: 30 epochs before its 240). Under ``losses`` it
    counts from ``begin`` to ``end``, like any other.
    """

    name = "ab"
    family = "maps"
    paper = "Heo et al., Knowledge Transfer via Distillation of Activation Boundaries, AAAI 2019"
    equation = (
        "3/1000 sum_i 2^(i - L + 1) / N sum over all elements of max(0, 1 - y r(F_s))^2, y = 1 where F_t > 0, else -1"
    )
    weight = 1.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020), there before the labels and not at the same time"
    warmup_share = 30 / 240
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        self.connectors = nn.ModuleList(_connector(*pair) for pair in pair_feature_maps(student, teacher, self.name))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        count = len(self.connectors)
        pairs = pair_feature_maps(student, teacher, self.name, count)
        losses = [_squared_hinge(connector, *pair) for connector, pair in zip(self.connectors, pairs, strict=True)]
        return SCALE * torch.stack([2.0 ** (i - count + 1) * loss for i, loss in enumerate(losses)]).sum()


def _connector(student_map: Tensor, teacher_map: Tensor) -> nn.Sequential:
    """Create the module that maps a student's feature map to the teacher's channels, from a sample of both."""
    dtype = compute_dtype(student_map)
    channels = teacher_map.shape[1]
    return nn.Sequential(
        nn.Conv2d(student_map.shape[1], channels, kernel_size=1, bias=False, dtype=dtype),
        SafeBatchNorm2d(channels, dtype=dtype),
    )


def _squared_hinge(connector: nn.Module, student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Return the squared hinge of one network stage, summed over all elements and divided by the number of images."""
    student_map, teacher_map = match_resolution(student_map.to(next(connector.parameters()).dtype), teacher_map)
    response, teacher_map = check_comparable(connector(student_map), teacher_map, "feature maps",
                                             "the connector was created for another teacher")
    sign = (teacher_map > 0).to(response.dtype) * 2 - 1
    return (MARGIN - sign * response).clamp_min(0).square().sum() / len(response)
