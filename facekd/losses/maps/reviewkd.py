"""Knowledge review: the student's deep feature maps are fused into its shallower ones before the comparison."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.feature_maps import match_resolution, pair_feature_maps
from facekd.losses.maps.norm import SafeBatchNorm2d
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

MAX_CHANNELS = 512
"""The upper bound of the channels that are passed from stage to stage."""


def context_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the hierarchical context loss: mean squared differences at full resolution and at sides 4, 2 and 1.

    Full resolution has weight 1. Each smaller side below the maps' own has half the weight of the one before it. The
    sum is divided by the sum of the weights.

    Args:
        student: float [N, C, H, W].
        teacher: the same shape.
    """
    loss = functional.mse_loss(student, teacher)
    weight = 1.0
    total = 1.0
    for side in (4, 2, 1):
        if side < min(student.shape[2:]):
            weight /= 2
            total += weight
            student_pooled = functional.adaptive_avg_pool2d(student, side)
            teacher_pooled = functional.adaptive_avg_pool2d(teacher, side)
            loss = loss + weight * functional.mse_loss(student_pooled, teacher_pooled)
    return loss / total


@register_loss
class ReviewKD(Loss):
    """Sum over stages of ``context_loss`` between fused student maps and the teacher's (Chen et al., CVPR 2021).

    From the deepest network stage to the shallowest, the student's feature map becomes x = norm(1x1 convolution). At
    all but the deepest stage, the review y of the deeper stages is enlarged to the resolution of x by nearest
    neighbors; a 1x1 convolution and a sigmoid on x and y give two attention maps, and x becomes a_x x + a_y y. A 3x3
    convolution and a norm of x are compared with the teacher's feature map; x itself is the review for the next
    shallower stage. x has as many channels as the student's deepest feature map, at most 512 (layers and this width
    from memory of the authors' code). No convolution before a norm has a bias.

    The authors review the pooled features too, as a deepest stage of side 1; here only feature maps are reviewed.
    Network stages are paired from the deep end (`pair_feature_maps`). Where the resolutions differ, the larger is
    averaged down to the smaller (`match_resolution`) before the 3x3 convolution; the authors resize x to the teacher's
    by nearest neighbors.

    The benchmark mdistiller has weight 1 (5 for resnet32x4 and resnet8x4) after 20 of 240 epochs of a linear rise by
    the epoch; here it rises by the step, from 0 at the first.

    Options:
        warmup: the share of the training over which the loss rises to its full weight, at most 1; 0 for none.
    """

    name = "reviewkd"
    family = "maps"
    paper = "Chen et al., Distilling Knowledge via Knowledge Review, CVPR 2021"
    equation = (
        "min(1, progress / warmup) sum over stages of sum_l w_l mean (pool_l(r) - pool_l(F_t))^2 / sum_l w_l, "
        "r = conv(x), x = a_x conv(F_s) + a_y y, y of the deeper stage, pools none, 4, 2, 1, w halved"
    )
    weight = 1.0
    weight_source = "CIFAR-100 benchmark of mdistiller (Zhao et al.), with weight 1 for labels"
    needs_feature_maps = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, warmup: float = 20 / 240
    ) -> None:
        super().__init__(student, teacher, size)
        if warmup > 1:
            raise ModelError(f"loss reviewkd: warmup is a share of the training, from 0 to 1, not {warmup}")
        self.warmup = warmup
        pairs = pair_feature_maps(student, teacher, self.name)[::-1]
        width = min(MAX_CHANNELS, pairs[0][0].shape[1])
        self.fusions = nn.ModuleList(_Fusion(*pair, width, deepest=i == 0) for i, pair in enumerate(pairs))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        pairs = pair_feature_maps(student, teacher, self.name, len(self.fusions))[::-1]
        losses = []
        review = None
        for fusion, (student_map, teacher_map) in zip(self.fusions, pairs, strict=True):
            loss, review = fusion(student_map, teacher_map, review)
            losses.append(loss)
        share = min(1.0, context.progress / self.warmup) if self.warmup else 1.0
        return share * torch.stack(losses).sum()


class _Fusion(nn.Module):
    """The review and the loss of one network stage; created from samples of the student's and the teacher's map."""

    def __init__(self, student_map: Tensor, teacher_map: Tensor, width: int, *, deepest: bool) -> None:
        super().__init__()
        channels = teacher_map.shape[1]
        dtype = compute_dtype(student_map)
        self.input_conv = nn.Conv2d(student_map.shape[1], width, kernel_size=1, bias=False, dtype=dtype)
        self.input_norm = SafeBatchNorm2d(width, dtype=dtype)
        self.attention = None if deepest else nn.Conv2d(2 * width, 2, kernel_size=1, dtype=dtype)
        self.output_conv = nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False, dtype=dtype)
        self.output_norm = SafeBatchNorm2d(channels, dtype=dtype)

    def forward(self, student_map: Tensor, teacher_map: Tensor, review: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the loss of the stage and the review for the next shallower stage."""
        x: Tensor = self.input_norm(self.input_conv(student_map.to(self.input_conv.weight.dtype)))
        if self.attention is not None and review is not None:
            y = functional.interpolate(review, size=x.shape[2:], mode="nearest")
            a_x, a_y = self.attention(torch.cat([x, y], dim=1)).sigmoid().split(1, dim=1)
            x = a_x * x + a_y * y
        resized, teacher_map = match_resolution(x, teacher_map)
        fused = self.output_norm(self.output_conv(resized))
        fused, teacher_map = check_comparable(fused, teacher_map, "feature maps",
                                              "the fusion was created for another teacher")
        return context_loss(fused, teacher_map), x
