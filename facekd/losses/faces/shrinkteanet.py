"""ShrinkTeaNet: the directions of the student's feature maps and embeddings approach the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.pairwise import row_cosines
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def angular_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over the images of (1 - cos(s_i, t_i))^2, of rows [N, D] of one dtype; from 0 to 4."""
    return (1 - row_cosines(student, teacher)).square().mean()


@register_loss
class ShrinkTeaNet(Loss):
    """Sum over layers of the mean over images of (1 - cos(r(F_s), F_t))^2 (Duong et al., 2019).

    From the paper is the angle between an image's features, squared as above, summed over intermediate layers and the
    embedding. Ours, as we do not know the paper's exact form: a feature map counts as one long row, so that an image
    has one angle per layer; r is a 1x1 convolution with bias from the student's channels to the teacher's; the
    embedding needs no r, because the student's projection takes its place; all layers have equal weight.

    Network stages are paired from the deep end (`pair_feature_maps`). Where the resolutions differ, the larger map is
    averaged down to the smaller. Neither the length of an embedding nor that of the teacher's feature maps matters.
    """

    name = "shrinkteanet-ours"
    family = "faces"
    paper = (
        "Duong et al., ShrinkTeaNet: Million-scale Lightweight Face Recognition via Shrinking Teacher-Student "
        "Networks, 2019"
    )
    equation = (
        "mean_i (1 - cos(s_i, t_i))^2 + sum over stages of mean_i (1 - cos(r(F_s,i), F_t,i))^2, r a 1x1 "
        "convolution, a feature map one row"
    )
    weight = 1.0
    weight_source = "ours: 1, the paper's weights are not known to us"
    needs_feature_maps = True
    follows_embeddings = True
    needs_embeddings = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        self.regressors = nn.ModuleList(
            nn.Conv2d(student_map.shape[1], teacher_map.shape[1], 1, dtype=compute_dtype(student_map))
            for student_map, teacher_map in pair_feature_maps(student, teacher, self.name)
        )

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.regressors))
        terms = [angular_loss(*check_comparable(student.outputs, teacher.outputs, "embeddings",
                                                "give the student a projection"))]
        for regressor, pair in zip(self.regressors, pairs, strict=True):
            terms.append(_stage_loss(regressor, *pair))
        return torch.stack(terms).sum()


def _stage_loss(regressor: nn.Module, student_map: Tensor, teacher_map: Tensor) -> Tensor:
    dtype = next(regressor.parameters()).dtype
    student_map, teacher_map = match_resolution(student_map.to(dtype), teacher_map.to(dtype))
    student_map, teacher_map = check_comparable(regressor(student_map), teacher_map, "feature maps",
                                                "the regressor was created for another teacher")
    return angular_loss(student_map.flatten(1), teacher_map.flatten(1))
