"""Overhauled feature distillation: feature maps before the ReLU must match only where the ReLU passes them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import check_pair_count, match_resolution, pair_feature_maps, require_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class OFD(Loss):
    """Partial L2 distance from the connected student's maps to the teacher's margin ReLU (Heo et al., ICCV 2019).

    The margin ReLU is max(F_t, m_c), with m_c the mean of the values of channel c below 0, and 0 where there are none,
    as in a feature map that ends in a ReLU. The distance is the sum over a map's elements of (r(F_s) - T)^2, but 0
    where r(F_s) <= T <= 0, and the mean over the images. r is a 1x1 convolution without bias and a batch norm. From
    memory of the authors' code: of L network stages, counted from 0, the i-th has weight 2^(i - L + 1), the deepest 1;
    and 1e-4 on ImageNet.

    Ours: m_c is computed from the teacher's feature maps in pretraining, where the paper computes it from the mean and
    variance of the batch norm before a ReLU, which not every network has there; before pretraining m_c is 0. Network
    stages are paired from the deep end (`pair_feature_maps`). Where the resolutions differ, the larger map is averaged
    down to the smaller, the teacher's after its margin ReLU.

    Options:
        pretrain_epochs: the epochs over which m_c is computed for each teacher.
    """

    name = "ofd"
    family = "maps"
    paper = "Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV 2019"
    equation = (
        "sum over stages i of 2^(i - L + 1) mean_n sum_chw of 0 where r(F_s) <= T <= 0, else (r(F_s) - T)^2, "
        "T = max(F_t, m_c), m_c = mean of F_t below 0, r 1x1 convolution and batch norm"
    )
    weight = 1e-3
    weight_source = "CIFAR-100 benchmark of mdistiller (Zhao et al.), with weight 1 for labels"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, pretrain_epochs: float = 0.2
    ) -> None:
        super().__init__(student, teacher, size)
        self.pretrain_epochs = pretrain_epochs
        self.connectors = nn.ModuleList(_Connector(*pair) for pair in pair_feature_maps(student, teacher, self.name))

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> None:
        """Accumulate the teacher's values below 0; see `Loss.pretrain_loss`."""
        maps = require_feature_maps(teacher, "teacher", self.name)[-len(self.connectors):]
        check_pair_count(len(maps), len(self.connectors), self.name)
        for connector, teacher_map in zip(self.connectors, maps, strict=True):
            assert isinstance(connector, _Connector)
            connector.accumulate(teacher_map, reset=context.progress == 0)

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.connectors))
        losses = [connector(*pair) for connector, pair in zip(self.connectors, pairs, strict=True)]
        return torch.stack([loss * 2.0 ** (i - len(losses) + 1) for i, loss in enumerate(losses)]).sum()


class _Connector(nn.Module):
    """The distance of one network stage: r for the student's feature map, and m_c of the teacher's; from samples."""

    margin: Tensor
    count: Tensor

    def __init__(self, student_map: Tensor, teacher_map: Tensor) -> None:
        super().__init__()
        channels = teacher_map.shape[1]
        dtype = compute_dtype(student_map)
        self.conv = nn.Conv2d(student_map.shape[1], channels, kernel_size=1, bias=False, dtype=dtype)
        self.norm = SafeBatchNorm2d(channels, dtype=dtype)
        self.register_buffer("margin", torch.zeros(channels, dtype=dtype))
        self.register_buffer("count", torch.zeros(channels, dtype=dtype))

    @torch.no_grad()
    def accumulate(self, teacher_map: Tensor, reset: bool) -> None:
        """Update the running mean of the values below 0 with a teacher's feature map [N, C, H, W].

        Args:
            teacher_map: the feature map of a batch.
            reset: forget all earlier batches first.
        """
        self._check_channels(teacher_map)
        if reset:
            self.margin.zero_()
            self.count.zero_()
        negative = teacher_map.to(self.margin.dtype).clamp(max=0)
        new = (negative < 0).sum(dim=(0, 2, 3))
        self.count += new
        # The running mean moves by (sum of new values - new * mean) / total count; it never holds a large sum.
        self.margin += (negative.sum(dim=(0, 2, 3)) - new * self.margin) / self.count.clamp(min=1)

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """Return the partial L2 distance, summed over a map's elements, mean over the images."""
        self._check_channels(teacher_map)
        dtype = self.margin.dtype
        target = torch.maximum(teacher_map.detach().to(dtype), self.margin[:, None, None])
        student_map, target = match_resolution(student_map.to(dtype), target)
        student_map, target = check_comparable(self.norm(self.conv(student_map)), target, "feature maps",
                                               "both must be of the same images")
        counts = (student_map > target) | (target > 0)
        return ((student_map - target).square() * counts).sum(dim=(1, 2, 3)).mean()

    def _check_channels(self, teacher_map: Tensor) -> None:
        if teacher_map.shape[1] != len(self.margin):
            raise ModelError(f"loss ofd: a teacher's feature map has {teacher_map.shape[1]} channels, but its connector"
                             f" was created for {len(self.margin)}: create a new loss for these networks")
