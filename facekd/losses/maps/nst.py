"""Neuron selectivity transfer: the distribution of the student's channel activations approaches the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import promote
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize


@register_loss
class NST(Loss):
    """Sum over stages of the squared MMD between the channels of both feature maps (Huang & Wang 2017).

    Every channel of an image's feature map is one sample: its H*W values, scaled to unit length. The kernel is the
    paper's polynomial one with degree 2 and constant 0, k(x, y) = (x . y)^2. The square of the maximum mean discrepancy
    is the mean of k over all pairs of the student's channels, plus that of the teacher's, minus twice that over all
    pairs of a student's and a teacher's channel; the loss is its mean over the images. The numbers of channels may
    differ, and their order and scale do not matter.

    The benchmark of CRD (Tian et al., ICLR 2020) has weight 50. Network stages are paired from the deep end
    (`pair_feature_maps`). Where the resolutions differ, the larger feature map is averaged down to the smaller.
    """

    name = "nst"
    family = "maps"
    paper = "Huang & Wang, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, 2017"
    equation = "sum over stages of mean_ij (s_i.s_j)^2 + mean_ij (t_i.t_j)^2 - 2 mean_ij (s_i.t_j)^2, channels as units"
    weight = 50.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        pair_feature_maps(student, teacher, self.name)  # refuses a sample without feature maps before training starts

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return torch.stack([_squared_mmd(*pair) for pair in pair_feature_maps(student, teacher, self.name)]).sum()


def _squared_mmd(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Return the squared MMD of two feature maps [N, C, H, W], mean over the images; the teacher gets no gradient."""
    if len(student_map) != len(teacher_map):
        raise ModelError(f"loss nst: feature maps of {len(student_map)} and of {len(teacher_map)} images: "
                         "both must be of the same images")
    student_map, teacher_map = match_resolution(*promote(student_map, teacher_map))
    with torch.autocast(student_map.device.type, enabled=False):  # the result is a difference of nearly equal means
        s = _unit_channels(student_map)
        t = _unit_channels(teacher_map)
        return _mean_kernel(s, s) + _mean_kernel(t, t) - 2 * _mean_kernel(s, t)


def _unit_channels(maps: Tensor) -> Tensor:
    """Return feature maps [N, C, H, W] as unit vectors [N, C, H*W]; a channel of zeros stays zero."""
    return l2_normalize(maps.flatten(2).flatten(0, 1)).reshape(maps.shape[0], maps.shape[1], -1)


def _mean_kernel(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean of (x . y)^2 over all pairs of an image's channels, and over the images."""
    return (first @ second.mT).square().mean()
