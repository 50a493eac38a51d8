"""The flow of the solution procedure: the correlations of one stage's channels with those of the next stage."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import pair_feature_maps
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def fsp_matrix(shallow: Tensor, deep: Tensor) -> Tensor:
    """Return the FSP matrix of two feature maps of one network: the mean over positions of every product of channels.

    Where the resolutions differ, the larger map is max-pooled to the smaller, height and width separately.

    Args:
        shallow: float [N, C, H, W], float32 or better.
        deep: float [N, D, H', W'], same dtype.

    Returns:
        [N, C, D].
    """
    resolution = (min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3]))
    first = _max_pool_down(shallow, resolution)
    second = _max_pool_down(deep, resolution)
    with torch.autocast(shallow.device.type, enabled=False):
        return first.flatten(2) @ second.flatten(2).mT / (resolution[0] * resolution[1])


def _max_pool_down(maps: Tensor, resolution: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == resolution else functional.adaptive_max_pool2d(maps, resolution)


@register_loss
class FSP(Loss):
    """Sum over neighboring stages of the mean squared difference of both networks' FSP matrices (Yim et al. 2017).

    The benchmark of CRD (Tian et al., ICLR 2020) has this mean over the images and the matrices' elements, with weight
    50. Network stages are paired from the deep end (`pair_feature_maps`); both networks must have at least two. The
    resolutions of the student's and the teacher's maps may differ. Within a network, the larger of two maps is
    max-pooled to the smaller, as in the paper (from memory); the benchmark takes the mean.

    The paper and the benchmark need equal channels in paired stages. Ours: where they differ, a 1x1 convolution with
    bias, trained with the student, maps the student's feature map to the teacher's channels. Where they are equal there
    is none, and the loss is theirs.

    Paper and benchmark use it in a first training stage, before the student learns from labels alone: as a ``method``
    it acts alone in the first eighth of the training (the benchmark: 30 epochs before its 240). Under ``losses`` it
    counts from ``begin`` to ``end``, like any other.
    """

    name = "fsp"
    family = "maps"
    paper = "Yim et al., A Gift from Knowledge Distillation: Fast Optimization, Network Minimization, CVPR 2017"
    equation = (
        "sum over neighboring stages i, i + 1 of mean (G_s - G_t)^2, G = F_i F_i+1^T / positions; "
        "r(F_s), r a 1x1 convolution, for F_s where the channels differ (ours)"
    )
    weight = 50.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020), there before the labels and not at the same time"
    warmup_share = 30 / 240
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        self.regressors = nn.ModuleList(_regressor(*pair) for pair in pair_feature_maps(student, teacher, self.name))
        count = len(self.regressors)
        if count < 2:
            raise ModelError(f"loss fsp: pairs of feature maps: {count}: it relates neighboring stages, so it needs at "
                             "least 2")

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.regressors))
        stages = [(_regress(regressor, student_map), _to_compute_dtype(teacher_map))
                  for regressor, (student_map, teacher_map) in zip(self.regressors, pairs, strict=True)]
        losses = []
        for (student_map, teacher_map), (next_student_map, next_teacher_map) in pairwise(stages):
            student_matrix = fsp_matrix(student_map, next_student_map)
            teacher_matrix = fsp_matrix(teacher_map, next_teacher_map)
            losses.append(functional.mse_loss(*check_comparable(student_matrix, teacher_matrix, "FSP matrices",
                                                                "the loss was created for other networks")))
        return torch.stack(losses).sum()


def _regressor(student_map: Tensor, teacher_map: Tensor) -> nn.Module:
    """Create the map from a student's to the teacher's channels, the identity where they are equal, from samples."""
    if student_map.shape[1] == teacher_map.shape[1]:
        return nn.Identity()
    return nn.Conv2d(student_map.shape[1], teacher_map.shape[1], kernel_size=1, dtype=compute_dtype(student_map))


def _regress(regressor: nn.Module, student_map: Tensor) -> Tensor:
    """Return a student's feature map with the teacher's channels."""
    if isinstance(regressor, nn.Conv2d):
        student_map = regressor(student_map.to(regressor.weight.dtype))
    return _to_compute_dtype(student_map)


def _to_compute_dtype(maps: Tensor) -> Tensor:
    return maps.to(compute_dtype(maps))
