"""Attention transfer: where the student's maps are strong is brought to where the teacher's are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, paired
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


def attention(maps: Tensor, power: float = 2.0) -> Tensor:
    """Mean over the channels of |F|^p: how strong a map is at every place (section 3.1 of the paper).

    The paper sums; after the normalisation that always follows, this is the same.

    Args:
        maps: float [N, C, H, W].
        power: p, at least 1.

    Returns:
        [N, 1, H, W] in float32, or in float64 for float64 maps.
    """
    return maps.to(exact(maps)).abs().pow(power).mean(dim=1, keepdim=True)


@register
class AttentionTransfer(Loss):
    """Sum over stages of the mean squared difference of attention maps of unit length (Zagoruyko & Komodakis 2017).

    Mean over the images and the places of (a_s - a_t)^2, where a is ``attention`` of one stage's map, divided for every
    image by its L2 norm over the places. The benchmark of CRD (Tian et al., ICLR 2020) has this mean (the paper has a
    norm that is not squared) and weighs it 1000, with p = 2. Stages are paired from the deep end (`stages.paired`).

    Where the maps' sides differ, the larger attention map is averaged down before it is normalised, as the paper
    resamples attention maps. The benchmark averages the maps themselves, in which values of both signs cancel out.

    Options:
        power: p, at least 1. A higher one looks at the strongest places only.
    """

    name = "at"
    paper = "Zagoruyko & Komodakis, Paying More Attention to Attention, ICLR 2017"
    equation = "sum over stages of mean (a_s / |a_s| - a_t / |a_t|)^2, a = mean_c |F|^p, norms over an image's places"
    weight = 1000.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, power: float = 2.0) -> None:
        super().__init__(student, teacher, size)
        if power < 1:
            raise ModelError(f"loss at: power must be at least 1, not {power}: below, a map's zeros have no gradient")
        paired(student, teacher, self.name)  # refuses a sample without maps before anything is trained
        self.power = power

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name)
        return torch.stack([self._distance(own, target) for own, target in pairs]).sum()

    def _distance(self, own: Tensor, target: Tensor) -> Tensor:
        own, target = level(attention(own, self.power), attention(target, self.power))
        own, target = comparable(own, target, "attention maps", "both must be of the same images")
        # Not `vectors.unit`: powers of ordinary small values are shorter than what it takes for no direction.
        own, target = (functional.normalize(maps.flatten(1), dim=1) for maps in (own, target))
        return functional.mse_loss(own, target)
