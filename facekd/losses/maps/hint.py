"""Hints: one of the student's intermediate feature maps approaches one of the teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, require_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

MIDDLE = -1
"""The middle network stage, or the shallower of two middle ones (the second of three, the second of four)."""


@register_loss
class Hint(Loss):
    """Mean over all elements of (r(student map) - teacher map)^2 (FitNets, Romero et al., ICLR 2015, equation 3).

    The benchmark of CRD (Tian et al., ICLR 2020) has weight 100. Where the resolutions differ, the larger feature map
    is averaged down to the smaller.

    The regressor r is a 1x1 convolution from the student's channels to the teacher's and a batch norm, as in that
    benchmark. Without the norm, weight 100 makes the student's feature map, whose scale is not constrained, oscillate:
    a ResNet-8 then ended 20 points below the same without hints (docs/methods.md). The benchmark's ReLU after the norm
    is left out: it cannot reach the negative values of a feature map that ends in a batch norm or a linear bottleneck.

    Options:
        student_stage: the index of the student's feature map, counted from 0; ``MIDDLE`` (-1) is the middle one.
        teacher_stage: the index of the teacher's feature map, counted in the same way.
    """

    name = "hint"
    family = "maps"
    paper = "Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015"
    equation = "mean (r(F_s) - F_t)^2 over all elements of one stage's maps, r a 1x1 convolution and batch norm"
    weight = 100.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, student_stage: int = MIDDLE,
        teacher_stage: int = MIDDLE,
    ) -> None:
        super().__init__(student, teacher, size)
        self.student_stage = student_stage
        self.teacher_stage = teacher_stage
        student_map, teacher_map = self._select_maps(student, teacher)
        dtype = compute_dtype(student_map)
        channels = teacher_map.shape[1]
        convolution = nn.Conv2d(student_map.shape[1], channels, kernel_size=1, bias=False, dtype=dtype)
        self.regressor = nn.Sequential(convolution, SafeBatchNorm2d(channels, dtype=dtype))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_map, teacher_map = self._select_maps(student, teacher)
        # Averaged before the regressor: the two commute, and this order is cheaper.
        student_map, teacher_map = match_resolution(student_map.to(compute_dtype(student_map)), teacher_map)
        return functional.mse_loss(*check_comparable(self.regressor(student_map), teacher_map, "feature maps",
                                                     "the regressor was created for another teacher"))

    def _select_maps(self, student: ModelOutput, teacher: ModelOutput) -> tuple[Tensor, Tensor]:
        return _select(student, self.student_stage, "student"), _select(teacher, self.teacher_stage, "teacher")


def _select(output: ModelOutput, stage: int, network: str) -> Tensor:
    """Return the feature map of one network stage; raise a ModelError if there is none."""
    maps = require_feature_maps(output, network, "hint")
    count = len(maps)
    if stage >= count:
        raise ModelError(f"loss hint: {network}_stage {stage} does not exist: the {network}'s feature maps are 0 to "
                         f"{count - 1}")
    return maps[(count - 1) // 2 if stage == MIDDLE else stage]
