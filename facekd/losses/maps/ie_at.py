"""Inheritance and exploration by attention: half of the student's channels look where the teacher looks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.losses.comparable import comparable
from facekd.losses.feature_maps import level, paired
from facekd.losses.maps.at import attention
from facekd.losses.maps.halves import Halves, cosine
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


@register
class InheritExploreAttention(Loss):
    """Sum over stages of mean (n(a_inh) - n(a_t))^2 + explore * mean |cos(a_exp, a_t)|: our reading of IE-AT.

    Huang et al. (CVPR 2021) name attention transfer (`at`) among the losses that inheritance and exploration can be
    laid over. What is theirs: the student's channels are divided, and one half follows the teacher by the other loss's
    distance. What is ours: all stages take part, as in `at`; the other half's attention is kept from the teacher's by
    its cosine, which is never below 0 because an attention map is not; and both weights. ``explore`` is small because
    the mean over the places makes the first term small. A map of one place has but one attention, which adds
    ``explore`` and no gradient.

    Options:
        divide: "natural" (first and second half of the channels) or "random".
        split_seed: of the random division.
        explore: weight of the exploration beside the inheritance.
    """

    name = "ie-at-ours"
    paper = "after Huang et al., Revisiting Knowledge Distillation: Inheritance and Exploration, CVPR 2021"
    equation = "sum over stages of mean (n(a_inh) - n(a_t))^2 + explore mean |cos(a_exp, a_t)|, a = mean_c F^2"
    weight = 1000.0
    origin = "ours: that of at in the benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, divide: str = "natural", split_seed: int = 0,
        explore: float = 0.001,
    ) -> None:
        super().__init__(student, teacher, size)
        self.explore = explore
        self.halves = nn.ModuleList(Halves(own.shape[1], divide, split_seed, self.name)
                                    for own, _ in paired(student, teacher, self.name))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.halves))
        return torch.stack([self._stage(halves, *pair) for halves, pair in zip(self.halves, pairs, strict=True)]).sum()

    def _stage(self, halves: nn.Module, own: Tensor, target: Tensor) -> Tensor:
        near, far = (self._pair(half, target) for half in halves(own))
        return functional.mse_loss(*near) + self.explore * cosine(*far)

    def _pair(self, own: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Attention maps of unit length, [N, places] each."""
        own, target = level(attention(own), attention(target))
        own, target = comparable(own, target, "attention maps", "both must be of the same images")
        # Not `vectors.unit`: powers of ordinary small values are shorter than what it takes for no direction.
        return functional.normalize(own.flatten(1), dim=1), functional.normalize(target.flatten(1), dim=1)
