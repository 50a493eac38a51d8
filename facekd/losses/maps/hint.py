"""Hints: one of the student's intermediate maps is brought to one of the teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, maps_of
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size

MIDDLE = -1
"""As a stage: the middle one, and the shallower of two middle ones (the second of three, the second of four)."""


@register
class Hint(Loss):
    """Mean over all elements of (r(student map) - teacher map)^2 (FitNets, Romero et al., ICLR 2015, equation 3).

    The benchmark of CRD (Tian et al., ICLR 2020) weighs it 100. Where the maps' sides differ, the larger is averaged
    down to the smaller.

    The regressor r is a 1x1 convolution from the student's channels to the teacher's and a batch norm, as in that
    benchmark. Without the norm a weight of 100 drives the student's map, whose scale nothing holds, to and fro: a
    ResNet-8 then ended 20 points below the same without hints (docs/methods.md). The benchmark's ReLU after it is left
    out: it could not reach the negative values of a map that a batch norm or a linear bottleneck ends.

    Options:
        student_stage: which of the student's maps, counted from 0; ``MIDDLE`` (-1) is the middle one.
        teacher_stage: which of the teacher's, likewise.
    """

    name = "hint"
    paper = "Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015"
    equation = "mean (r(F_s) - F_t)^2 over all elements of one stage's maps, r a 1x1 convolution and batch norm"
    weight = 100.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, student_stage: int = MIDDLE, teacher_stage: int = MIDDLE
    ) -> None:
        super().__init__(student, teacher, size)
        self.student_stage, self.teacher_stage = student_stage, teacher_stage
        own, target = self._chosen(student, teacher)
        dtype = exact(own)
        convolution = nn.Conv2d(own.shape[1], target.shape[1], kernel_size=1, bias=False, dtype=dtype)
        self.regressor = nn.Sequential(convolution, Norm(target.shape[1], dtype=dtype))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = self._chosen(student, teacher)
        # Averaged before the regressor: the two commute, and this order is the cheaper one.
        own, target = level(own.to(exact(own)), target)
        both = comparable(self.regressor(own), target, "maps", "the regressor was made for another teacher")
        return functional.mse_loss(*both)

    def _chosen(self, student: Answer, teacher: Answer) -> tuple[Tensor, Tensor]:
        return _map(student, self.student_stage, "student"), _map(teacher, self.teacher_stage, "teacher")


def _map(answer: Answer, stage: int, whose: str) -> Tensor:
    """One map of an answer, or a ModelError in words."""
    maps = maps_of(answer, whose, "hint")
    count = len(maps)
    if stage >= count:
        raise ModelError(f"loss hint: {whose}_stage {stage} does not exist: the {whose}'s maps are 0 to {count - 1}")
    return maps[(count - 1) // 2 if stage == MIDDLE else stage]
