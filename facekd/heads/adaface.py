"""AdaFace: a margin that adapts to image quality, measured by the length of the embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.heads.margin import Margin, check_angle, check_rate
from facekd.heads.margins import arcface_target

MIN_DEVIATION = 1e-3
"""The lower bound of the deviation that divides; lengths that vary less carry no information on quality."""


class AdaFace(Margin):
    """Quality-adaptive margin (Kim et al., CVPR 2022, section 3.3).

    The target's logit is s (cos(theta + g_angle) - g_add), with g_angle = -m q, g_add = m + m q and the quality
    q = (|z| - mean) / (deviation / h), clipped to [-1, 1]. No gradient flows through q. For q = -1 this is ArcFace's
    margin and for q = 0 CosFace's; for q = 1 hard samples have more weight than easy ones.

    Mean and deviation are running statistics. The paper writes mean = a mean_k + (1 - a) mean_{k-1} with a = 0.99,
    which would give the newest batch a share of 0.99; in the authors' program its share is 0.01, and so it is here. As
    in that program, the statistics start at 20 and 100, so that the first margins are nearly CosFace's, and include
    the newest batch when they are used.

    Margin 0.4 and concentration h = 0.333, with scale 64, are the paper's; the rate and the start values are the
    program's. Ours: beyond pi, theta + g_angle keeps a gradient, see ``arcface_target``; and lengths are not clipped,
    where the program clips them at 100.

    Options:
        margin: m in radians, in [0, pi / 2).
        concentration: h.
        rate: the share of the newest batch in the running statistics.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, margin: float = 0.4, concentration: float = 0.333, rate: float = 0.01) -> None:
        super().__init__()
        self.m = check_angle(margin)
        self.concentration = concentration
        self.rate = check_rate(rate)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    @torch.no_grad()
    def update_statistics(self, target: Tensor, norms: Tensor) -> None:
        """See `Margin.update_statistics`: mean and deviation of the lengths."""
        deviation = norms.std(correction=min(1, len(norms) - 1))  # the deviation of a single length is 0
        self.mean += self.rate * (norms.mean() - self.mean)
        self.deviation += self.rate * (deviation - self.deviation)

    def quality(self, norms: Tensor) -> Tensor:
        """Return q, [N], in [-1, 1], of embeddings with the lengths ``norms``, without a gradient."""
        deviation = self.deviation.clamp_min(MIN_DEVIATION)
        return (self.concentration * (norms.detach() - self.mean) / deviation).clamp(-1, 1)

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target_logit`."""
        scaled_quality = self.m * self.quality(norms)
        return arcface_target(cos, -scaled_quality) - (self.m + scaled_quality)
