"""Variational information distillation: the student's feature maps predict the teacher's as a Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

INITIAL_VARIANCE = 5.0
"""The variance of every channel at the start of training."""

MIN_VARIANCE = 1e-5
"""The lower bound of the variance."""


@register_loss
class VID(Loss):
    """Sum over stages of the mean over all elements of 0.5 ((mu(F_s) - F_t)^2 / v + log v) (Ahn et al., CVPR 2019).

    This is the negative log density of a Gaussian with mean mu(F_s) and, for each of the teacher's channels, its own
    variance v = softplus(alpha) + 1e-5, without its constant 0.5 log 2 pi. Since it is a log density, its minimum is
    not 0: it starts above 0.8 per stage, for v = 5, and falls below 0 where the teacher is predicted with a variance
    below one.

    mu is three 1x1 convolutions, with batch norm and ReLU between them, as wide as the teacher's feature map. The last
    has a bias; those before a batch norm need none. In training, batch norm uses the batch's statistics; a batch of one
    image with a single position has none, and is normalized by the running statistics.

    The benchmark of CRD (Tian et al., ICLR 2020) has weight 1, with v = 5 at the start. Network stages are paired from
    the deep end (`pair_feature_maps`). Where the resolutions differ, the larger map is averaged down to the smaller,
    before mu.
    """

    name = "vid"
    family = "maps"
    paper = "Ahn et al., Variational Information Distillation for Knowledge Transfer, CVPR 2019"
    equation = "sum over stages of mean 0.5 ((mu(F_s) - F_t)^2 / v + log v), v = softplus(alpha_c) + 1e-5"
    weight = 1.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        self.regressors = nn.ModuleList(
            _GaussianRegressor(*pair) for pair in pair_feature_maps(student, teacher, self.name)
        )

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.regressors))
        return torch.stack([regressor(*pair) for regressor, pair in zip(self.regressors, pairs, strict=True)]).sum()


class _GaussianRegressor(nn.Module):
    """A Gaussian over one of the teacher's feature maps, given one of the student's; created from samples of both."""

    def __init__(self, student_map: Tensor, teacher_map: Tensor) -> None:
        super().__init__()
        channels = teacher_map.shape[1]
        dtype = compute_dtype(student_map)
        self.mean = nn.Sequential(
            nn.Conv2d(student_map.shape[1], channels, kernel_size=1, bias=False, dtype=dtype),
            SafeBatchNorm2d(channels, dtype=dtype),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=1, bias=False, dtype=dtype),
            SafeBatchNorm2d(channels, dtype=dtype),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=1, dtype=dtype),
        )
        inverse_softplus = math.log(math.expm1(INITIAL_VARIANCE - MIN_VARIANCE))
        self.alpha = nn.Parameter(torch.full((channels, 1, 1), inverse_softplus, dtype=dtype))

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """Return the mean negative log density of the teacher's feature map, without its constant."""
        student_map, teacher_map = match_resolution(student_map.to(self.alpha.dtype), teacher_map)
        prediction, teacher_map = check_comparable(self.mean(student_map), teacher_map, "feature maps",
                                                   "the regressor was created for another teacher")
        variance = functional.softplus(self.alpha) + MIN_VARIANCE
        return 0.5 * ((prediction - teacher_map).square() / variance + variance.log()).mean()
