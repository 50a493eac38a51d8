"""Overhauled feature distillation: maps before the ReLU, of which only what the ReLU would let pass must be met."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import demand_pairs, level, maps_of, paired
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


@register
class OFD(Loss):
    """Partial L2 distance from the connected student's maps to the teacher's margin ReLU (Heo et al., ICCV 2019).

    The margin ReLU is max(F_t, m_c), with m_c the mean of what channel c says below 0, and 0 where it says nothing
    below 0, as in a map that a ReLU ends. The distance is the sum over a map's elements of (r(F_s) - T)^2, but 0 where
    r(F_s) <= T <= 0, and the mean over the images. r is a 1x1 convolution without bias and a batch norm. From memory of
    the authors' code: of L stages, counted from 0, the i-th weighs 2^(i - L + 1), the deepest 1; and 1e-4 on ImageNet.

    Ours: m_c is found by looking at the teacher's maps in lessons, where the paper computes it from the mean and
    variance that the batch norm before a ReLU holds, which not every network has there; before any lesson m_c is 0.
    Stages are paired from the deep end (`stages.paired`); where the sides differ, the larger map is averaged down to
    the smaller, the teacher's after its margin ReLU.

    Options:
        lessons: epochs of looking at the teacher's maps.
    """

    name = "ofd"
    paper = "Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV 2019"
    equation = (
        "sum over stages i of 2^(i - L + 1) mean_n sum_chw of 0 where r(F_s) <= T <= 0, else (r(F_s) - T)^2, "
        "T = max(F_t, m_c), m_c = mean of F_t below 0, r 1x1 convolution and batch norm"
    )
    weight = 1e-3
    origin = "CIFAR-100 benchmark of mdistiller (Zhao et al.), beside 1 for labels"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, lessons: float = 0.2) -> None:
        super().__init__(student, teacher, size)
        self.lessons = lessons
        self.connectors = nn.ModuleList(_Connector(*pair) for pair in paired(student, teacher, self.name))

    def lesson(self, teacher: Answer, question: Question) -> None:
        """See `Loss.lesson`."""
        maps = maps_of(teacher, "teacher", self.name)[-len(self.connectors):]
        demand_pairs(len(maps), len(self.connectors), self.name)
        for connector, target in zip(self.connectors, maps, strict=True):
            assert isinstance(connector, _Connector)
            connector.look(target, afresh=question.done == 0)

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.connectors))
        costs = [connector(*pair) for connector, pair in zip(self.connectors, pairs, strict=True)]
        return torch.stack([cost * 2.0 ** (i - len(costs) + 1) for i, cost in enumerate(costs)]).sum()


class _Connector(nn.Module):
    """The distance of one stage: what connects the student's map, and the teacher's margins; made from a sample."""

    margin: Tensor
    count: Tensor

    def __init__(self, own: Tensor, target: Tensor) -> None:
        super().__init__()
        channels = target.shape[1]
        dtype = exact(own)
        self.conv = nn.Conv2d(own.shape[1], channels, kernel_size=1, bias=False, dtype=dtype)
        self.norm = Norm(channels, dtype=dtype)
        self.register_buffer("margin", torch.zeros(channels, dtype=dtype))
        self.register_buffer("count", torch.zeros(channels, dtype=dtype))

    @torch.no_grad()
    def look(self, target: Tensor, afresh: bool) -> None:
        """Take a teacher's map [N, C, H, W] into the mean of what is below 0, or begin that mean with it."""
        self._demand(target)
        if afresh:
            self.margin.zero_()
            self.count.zero_()
        below = target.to(self.margin.dtype).clamp(max=0)
        new = (below < 0).sum(dim=(0, 2, 3))
        self.count += new
        self.margin += (below.sum(dim=(0, 2, 3)) - new * self.margin) / self.count.clamp(min=1)

    def forward(self, own: Tensor, target: Tensor) -> Tensor:
        self._demand(target)
        target = target.detach().to(self.margin.dtype)
        own, target = level(own.to(self.margin.dtype), torch.maximum(target, self.margin[:, None, None]))
        own, target = comparable(self.norm(self.conv(own)), target, "maps", "both must be of the same images")
        missed = (own > target) | (target > 0)
        return ((own - target).square() * missed).sum(dim=(1, 2, 3)).mean()

    def _demand(self, target: Tensor) -> None:
        if target.shape[1] != len(self.margin):
            raise ModelError(f"loss ofd: a teacher's map has {target.shape[1]} channels, but its connector was made "
                             f"for {len(self.margin)}: make a new one for these networks")
