"""Knowledge review: the student's deep maps are fused into its shallower ones before these meet the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.feature_maps import level, paired
from facekd.losses.maps.norm import Norm
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size

WIDEST = 512
"""Channels of what is passed from stage to stage, where the student's deepest map has not fewer."""


def context_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Hierarchical context loss: mean squared differences of two maps as they are and averaged to sides 4, 2 and 1.

    The maps as they are weigh 1, each side below theirs half of what was before it, and the sum is divided by the sum
    of the weights.

    Args:
        student: float [N, C, H, W].
        teacher: the same shape.
    """
    loss, weight, total = functional.mse_loss(student, teacher), 1.0, 1.0
    for side in (4, 2, 1):
        if side < min(student.shape[2:]):
            weight /= 2
            total += weight
            own, target = (functional.adaptive_avg_pool2d(maps, side) for maps in (student, teacher))
            loss = loss + weight * functional.mse_loss(own, target)
    return loss / total


@register
class ReviewKD(Loss):
    """Sum over stages of ``context_loss`` between fused student maps and the teacher's (Chen et al., CVPR 2021).

    From the deepest stage to the shallowest, the student's map becomes x = norm(1x1 convolution). But for the deepest,
    a 1x1 convolution and a sigmoid on x and the review so far y, enlarged to x's sides by nearest neighbours, give two
    attention maps, and x becomes a_x x + a_y y. A 3x3 convolution and a norm of x meet the teacher's map; x itself is
    the review that the next shallower stage is given. x has as many channels as the student's deepest map, at most 512
    (layers and this width from memory of the authors' code). No convolution before a norm has a bias.

    The authors review the pooled features too, as a deepest stage of side 1; here only maps are. Stages are paired from
    the deep end (`stages.paired`). Where the sides differ, the larger is averaged down to the smaller (`stages.level`)
    before the 3x3 convolution; the authors bring x to the teacher's by nearest neighbours.

    The benchmark mdistiller weighs it 1 (5 for resnet32x4 and resnet8x4) after 20 of 240 epochs of a linear rise by the
    epoch; here it rises by the step, from 0 at the first.

    Options:
        warmup: share of the training over which the loss rises to its full weight, at most 1; 0 for none.
    """

    name = "reviewkd"
    paper = "Chen et al., Distilling Knowledge via Knowledge Review, CVPR 2021"
    equation = (
        "min(1, done / warmup) sum over stages of sum_l w_l mean (pool_l(r) - pool_l(F_t))^2 / sum_l w_l, "
        "r = conv(x), x = a_x conv(F_s) + a_y y, y of the deeper stage, pools none, 4, 2, 1, w halved"
    )
    weight = 1.0
    origin = "CIFAR-100 benchmark of mdistiller (Zhao et al.), beside 1 for labels"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, warmup: float = 20 / 240) -> None:
        super().__init__(student, teacher, size)
        if warmup > 1:
            raise ModelError(f"loss reviewkd: warmup is a share of the training, from 0 to 1, not {warmup}")
        self.warmup = warmup
        pairs = paired(student, teacher, self.name)[::-1]
        width = min(WIDEST, pairs[0][0].shape[1])
        self.fusions = nn.ModuleList(_Fusion(*pair, width, deepest=i == 0) for i, pair in enumerate(pairs))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        pairs = paired(student, teacher, self.name, len(self.fusions))[::-1]
        losses, review = [], None
        for fusion, (own, target) in zip(self.fusions, pairs, strict=True):
            loss, review = fusion(own, target, review)
            losses.append(loss)
        share = min(1.0, question.done / self.warmup) if self.warmup else 1.0
        return share * torch.stack(losses).sum()


class _Fusion(nn.Module):
    """One stage's review and its loss; made from a sample of the student's and the teacher's map."""

    def __init__(self, own: Tensor, target: Tensor, width: int, *, deepest: bool) -> None:
        super().__init__()
        channels = target.shape[1]
        dtype = exact(own)
        self.inward = nn.Conv2d(own.shape[1], width, kernel_size=1, bias=False, dtype=dtype)
        self.inward_norm = Norm(width, dtype=dtype)
        self.attention = None if deepest else nn.Conv2d(2 * width, 2, kernel_size=1, dtype=dtype)
        self.outward = nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False, dtype=dtype)
        self.outward_norm = Norm(channels, dtype=dtype)

    def forward(self, own: Tensor, target: Tensor, review: Tensor | None) -> tuple[Tensor, Tensor]:
        x: Tensor = self.inward_norm(self.inward(own.to(self.inward.weight.dtype)))
        if self.attention is not None and review is not None:
            y = functional.interpolate(review, size=x.shape[2:], mode="nearest")
            a_x, a_y = self.attention(torch.cat([x, y], dim=1)).sigmoid().split(1, dim=1)
            x = a_x * x + a_y * y
        near, target = level(x, target)
        fused = self.outward_norm(self.outward(near))
        return context_loss(*comparable(fused, target, "maps", "the fusion was made for another teacher")), x
