"""Attention transfer: the spatial distribution of the student's activations approaches the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def attention_map(maps: Tensor, power: float = 2.0) -> Tensor:
    """Return the mean over the channels of |F|^p: the strength of a feature map at every position (section 3.1).

    The paper sums over the channels; after the normalization that always follows, this is equal.

    Args:
        maps: float [N, C, H, W].
        power: p, at least 1.

    Returns:
        [N, 1, H, W] in float32, or in float64 for float64 feature maps.
    """
    return maps.to(compute_dtype(maps)).abs().pow(power).mean(dim=1, keepdim=True)


def unit_attention(student: Tensor, teacher: Tensor, power: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return both networks' attention maps at one resolution, flattened and scaled to unit length, [N, H * W] each.

    Args:
        student: the student's feature map, float [N, C, H, W].
        teacher: the teacher's feature map of the same images; receives no gradient.
        power: p, at least 1.

    Raises:
        ModelError: the numbers of images differ.
    """
    student, teacher = match_resolution(attention_map(student, power), attention_map(teacher, power))
    student, teacher = check_comparable(student, teacher, "attention maps", "both must be of the same images")
    # Not `l2_normalize`: powers of ordinary small values are shorter than its threshold for a zero vector.
    return functional.normalize(student.flatten(1), dim=1), functional.normalize(teacher.flatten(1), dim=1)


@register_loss
class AttentionTransfer(Loss):
    """Sum over stages of the mean squared difference of attention maps of unit length (Zagoruyko & Komodakis 2017).

    The loss of a network stage is the mean over images and positions of (a_s - a_t)^2, where a is ``attention_map`` of
    the stage's feature map, divided for every image by its L2 norm over the positions. The benchmark of CRD (Tian et
    al., ICLR 2020) has this mean (the paper has a norm that is not squared) with weight 1000 and p = 2. Network stages
    are paired from the deep end (`pair_feature_maps`).

    Where the resolutions differ, the larger attention map is averaged down before it is normalized, as the paper
    resamples attention maps. The benchmark averages the feature maps themselves, in which values of both signs cancel.

    Options:
        power: p, at least 1. A higher p emphasizes the strongest positions.
    """

    name = "at"
    family = "maps"
    paper = "Zagoruyko & Komodakis, Paying More Attention to Attention, ICLR 2017"
    equation = (
        "sum over stages of mean (a_s / |a_s| - a_t / |a_t|)^2, a = mean_c |F|^p, norms over an image's positions"
    )
    weight = 1000.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, power: float = 2.0) -> None:
        super().__init__(student, teacher, size)
        if power < 1:
            raise ModelError(f"loss at: power must be at least 1, not {power}: below 1, the gradient at 0 is infinite")
        pair_feature_maps(student, teacher, self.name)  # refuses a sample without feature maps before training starts
        self.power = power

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name)
        return torch.stack([functional.mse_loss(*unit_attention(*pair, self.power)) for pair in pairs]).sum()
