"""Inheritance and exploration by attention: half of the student's channels copies the teacher's spatial attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.losses.feature_maps import pair_feature_maps
from facekd.losses.maps.at import unit_attention
from facekd.losses.maps.channel_split import ChannelSplit, mean_abs_cosine
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class InheritExploreAttention(Loss):
    """Our reading of IE-AT: half of the channels follow the teacher's attention maps, the other half avoid them.

    The loss is the sum over network stages of mean (n(a_inh) - n(a_t))^2 + exploration_weight * mean |cos(a_exp, a_t)|.

    Huang et al. (CVPR 2021) name attention transfer (`at`) among the losses that inheritance and exploration can be
    combined with. Theirs: the student's channels are split, and one half follows the teacher by the other loss's
    distance. Ours: all network stages take part, as in `at`; the other half's attention is pushed away from the
    teacher's by its cosine, which is never below 0 because an attention map is not; and both weights.
    ``exploration_weight`` is small because the mean over the positions makes the first term small. A feature map with a
    single position has only one possible attention map, which adds ``exploration_weight`` and no gradient.

    Options:
        split: "natural" (first and second half of the channels) or "random".
        split_seed: the seed of the random split.
        exploration_weight: the weight of the exploration, relative to the inheritance.
    """

    name = "ie-at-ours"
    family = "maps"
    paper = "after Huang et al., Revisiting Knowledge Distillation: Inheritance and Exploration, CVPR 2021"
    equation = (
        "sum over stages of mean (n(a_inh) - n(a_t))^2 + exploration_weight mean |cos(a_exp, a_t)|, a = mean_c F^2"
    )
    weight = 1000.0
    weight_source = "ours: that of at in the benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, split: str = "natural",
        split_seed: int = 0, exploration_weight: float = 0.001,
    ) -> None:
        super().__init__(student, teacher, size)
        self.exploration_weight = exploration_weight
        self.splits = nn.ModuleList(ChannelSplit(student_map.shape[1], split, split_seed, self.name)
                                    for student_map, _ in pair_feature_maps(student, teacher, self.name))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.splits))
        losses = [self._stage_loss(split, *pair) for split, pair in zip(self.splits, pairs, strict=True)]
        return torch.stack(losses).sum()

    def _stage_loss(self, split: nn.Module, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        inheriting, exploring = split(student_map)
        inheritance = functional.mse_loss(*unit_attention(inheriting, teacher_map))
        return inheritance + self.exploration_weight * mean_abs_cosine(*unit_attention(exploring, teacher_map))
