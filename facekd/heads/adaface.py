"""AdaFace: a margin that follows the quality of the image, as the embedding's length shows it."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.heads.margin import Margin, checked_angle, checked_share
from facekd.heads.margins import arcface_target

LEAST_DEVIATION = 1e-3
"""Lengths that vary less say nothing of quality."""


class AdaFace(Margin):
    """Quality-adaptive margin (Kim et al., CVPR 2022, section 3.3).

    s (cos(theta + g_angle) - g_add) for the target, with g_angle = -m q, g_add = m + m q and the quality
    q = (|z| - mean) / (deviation / h), clipped to [-1, 1], through which no gradient flows. For q = -1 it is ArcFace's
    margin, for q = 0 CosFace's; for q = 1 hard samples weigh more than easy ones.

    Mean and deviation run over batches. The paper writes mean = a mean_k + (1 - a) mean_{k-1} with a = 0.99, by which
    the newest batch would have a share of 0.99; in the authors' program it has 0.01, and so it has here. Like theirs,
    the statistics begin at 20 and 100, by which the first margins are nearly CosFace's, and include the newest batch
    when they are used.

    Margin 0.4 and concentration h = 0.333, under a scale of 64, are the paper's; rate and beginnings are the program's.
    Ours: theta + g_angle beyond pi keeps a gradient, see ``arcface_target``; and lengths count as they are, where the
    program holds them at 100.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, *, margin: float = 0.4, concentration: float = 0.333, rate: float = 0.01) -> None:
        super().__init__()
        self.m, self.concentration, self.rate = checked_angle(margin), concentration, checked_share(rate)
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    @torch.no_grad()
    def observe(self, target: Tensor, norms: Tensor) -> None:
        """See `Margin.observe`: mean and deviation of the lengths."""
        deviation = norms.std(correction=min(1, len(norms) - 1))  # a single length deviates by 0
        self.mean += self.rate * (norms.mean() - self.mean)
        self.deviation += self.rate * (deviation - self.deviation)

    def quality(self, norms: Tensor) -> Tensor:
        """Of embeddings with these lengths, [N]: in [-1, 1], without a gradient."""
        deviation = self.deviation.clamp_min(LEAST_DEVIATION)
        return (self.concentration * (norms.detach() - self.mean) / deviation).clamp(-1, 1)

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target`."""
        lift = self.m * self.quality(norms)
        return arcface_target(cos, -lift) - (self.m + lift)
