"""Inheritance and exploration by activations: half of the student's channels reconstructs the teacher's last map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, require_feature_maps
from facekd.losses.maps.channel_split import ChannelSplit, mean_abs_cosine
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def partial_l2(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over all elements of (s - t)^2, or 0 where s <= t <= 0 (partial L2, Heo et al., ICCV 2019).

    A ReLU sets these elements to 0 anyway, so they need not match.
    """
    return (student - teacher).square().masked_fill((student <= teacher) & (teacher <= 0), 0).mean()


@register_loss
class InheritExploreActivations(Loss):
    """partial(r_I(F_inh), m(F_t)) + exploration_weight * mean |cos(r_E(F_exp), m(F_t))|: our reading of IE-OD.

    Huang et al. (CVPR 2021) name the overhaul of feature distillation (Heo et al., ICCV 2019) among the losses that
    inheritance and exploration can be combined with. From the overhaul, from memory: the partial L2; a 1x1 convolution
    and a batch norm r between the student's map and the teacher's channels; and the margin ReLU m(x) = max(x, m_c),
    where m_c is the mean of the teacher's values below 0 in channel c. Pretraining computes these means over the
    training set; before it they are 0, as they are for a map that ends in a ReLU. Ours: only the last feature map is
    used, which inheritance and exploration splits; a cosine pushes the exploring half away, because minus the partial
    L2 has no minimum; the mean over all elements; and both weights. Where the resolutions differ, the larger feature
    map is averaged down.

    Options:
        split: "natural" (first and second half of the channels) or "random".
        split_seed: the seed of the random split.
        exploration_weight: the weight of the exploration, relative to the inheritance.
        pretrain_epochs: the epochs over which the means are computed for each teacher; one covers every image.
    """

    name = "ie-od-ours"
    family = "maps"
    paper = "after Huang et al., Revisiting Knowledge Distillation: Inheritance and Exploration, CVPR 2021"
    equation = "partial(r_I(F_inh), max(F_t, m_c)) + exploration_weight mean |cos(r_E(F_exp), max(F_t, m_c))|"
    weight = 10.0
    weight_source = "ours"
    needs_feature_maps = True
    negative_sum: Tensor
    negative_count: Tensor

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, split: str = "natural",
        split_seed: int = 0, exploration_weight: float = 0.1, pretrain_epochs: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        self.exploration_weight = exploration_weight
        self.pretrain_epochs = pretrain_epochs
        student_map = require_feature_maps(student, "student", self.name)[-1]
        teacher_map = require_feature_maps(teacher, "teacher", self.name)[-1]
        channels = teacher_map.shape[1]
        self.dtype = compute_dtype(student_map)
        for buffer in ("negative_sum", "negative_count"):
            self.register_buffer(buffer, torch.zeros(channels, 1, 1, dtype=compute_dtype(teacher_map)))
        self.split = ChannelSplit(student_map.shape[1], split, split_seed, self.name)
        inheriting, exploring = self.split(student_map)
        self.inheritor = self._connector(inheriting.shape[1], channels)
        self.explorer = self._connector(exploring.shape[1], channels)

    def _connector(self, in_channels: int, out_channels: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False, dtype=self.dtype),
                             SafeBatchNorm2d(out_channels, dtype=self.dtype))

    @torch.no_grad()
    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> None:
        """Accumulate the teacher's values below 0; see `Loss.pretrain_loss`."""
        maps = require_feature_maps(teacher, "teacher", self.name)[-1].to(self.negative_sum.dtype)
        if context.progress == 0:
            self.negative_sum.zero_()
            self.negative_count.zero_()
        self.negative_sum += maps.clamp(max=0).sum(dim=(0, 2, 3)).reshape(self.negative_sum.shape)
        self.negative_count += (maps < 0).sum(dim=(0, 2, 3)).reshape(self.negative_count.shape)

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_map = require_feature_maps(student, "student", self.name)[-1].to(self.dtype)
        teacher_map = require_feature_maps(teacher, "teacher", self.name)[-1]
        # The means are those of the map at full resolution, so they are applied before averaging down. The connectors
        # commute with averaging, and are cheaper after it.
        margins = self.negative_sum / self.negative_count.clamp(min=1)
        student_map, target = match_resolution(student_map, teacher_map.to(margins.dtype).maximum(margins))
        inheriting, exploring = self.split(student_map)
        remedy = "the loss was created for another teacher"
        inheritance = partial_l2(*check_comparable(self.inheritor(inheriting), target, "feature maps", remedy))
        similarity = mean_abs_cosine(*check_comparable(self.explorer(exploring), target, "feature maps", remedy))
        return inheritance + self.exploration_weight * similarity
