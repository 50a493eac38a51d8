"""ShrinkTeaNet: the directions of a student's maps and embeddings are brought to the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, paired
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


def angular(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the images of (1 - cos(s_i, t_i))^2, of rows [N, D] of one dtype; from 0 to 4."""
    return (1 - (unit(student) * unit(teacher)).sum(dim=1)).square().mean()


@register
class ShrinkTeaNet(Loss):
    """Sum over layers of the mean over images of (1 - cos(r(F_s), F_t))^2 (Duong et al., 2019).

    From the paper is the angle between an image's features, squared as above, summed over intermediate layers and the
    embedding. Ours, as we do not know the paper's exact form: a map counts as one long row, so that an image has one
    angle a layer; r is a 1x1 convolution with bias from the student's channels to the teacher's; the embedding needs
    no r, the student's projection being one; every layer has the same weight.

    Stages are paired from the deep end (`stages.paired`); where the sides differ, the larger map is averaged down to
    the smaller. Neither the length of an embedding nor that of the teacher's maps matters.
    """

    name = "shrinkteanet-ours"
    paper = "Duong et al., ShrinkTeaNet: Million-scale Lightweight Face Recognition via Shrinking Teacher-Student "\
            "Networks, 2019"
    equation = "mean_i (1 - cos(s_i, t_i))^2 + sum over stages of mean_i (1 - cos(r(F_s,i), F_t,i))^2, r a 1x1 "\
               "convolution, a map one row"
    weight = 1.0
    origin = "ours: 1, the paper's weights are not known to us"
    maps = True
    faces = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        self.regressors = nn.ModuleList(
            nn.Conv2d(own.shape[1], target.shape[1], 1, dtype=exact(own))
            for own, target in paired(student, teacher, self.name)
        )

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.regressors))
        terms = [angular(*comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection"))]
        for (own, target), regressor in zip(pairs, self.regressors, strict=True):
            terms.append(self._stage(regressor, own, target))
        return torch.stack(terms).sum()

    @staticmethod
    def _stage(regressor: nn.Module, own: Tensor, target: Tensor) -> Tensor:
        dtype = next(regressor.parameters()).dtype
        own, target = level(own.to(dtype), target.to(dtype))
        own, target = comparable(regressor(own), target, "maps", "the regressor was made for another teacher")
        return angular(own.flatten(1), target.flatten(1))
