"""CurricularFace: easy samples first, and hard ones the more, the better the network knows its people."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.heads.margin import Margin, checked_angle, checked_share
from facekd.heads.margins import arcface_target


class CurricularFace(Margin):
    """Adaptive curriculum (Huang et al., CVPR 2020, section 3.2).

    T = cos(theta + m) for the target, as in ArcFace. Another class's cosine c stays as it is where T >= c; where it is
    larger, the sample is hard and the cosine becomes c (t + c). t is the running mean of the target's cosine, from 0:
    early in training a hard class weighs less, later more. The gradient holds t, and which classes are hard.

    The paper writes t_k = a r_k + (1 - a) t_{k-1} with a = 0.99, by which the newest batch would have a share of 0.99;
    in the authors' program it has 0.01, and so it has here. t includes the newest batch when it is used.

    Margin 0.5, under a scale of 64, is the paper's. Ours: T beyond pi, see ``arcface_target``.
    """

    t: Tensor

    def __init__(self, *, margin: float = 0.5, rate: float = 0.01) -> None:
        super().__init__()
        self.m, self.rate = checked_angle(margin), checked_share(rate)
        self.register_buffer("t", torch.tensor(0.0))

    @torch.no_grad()
    def observe(self, target: Tensor, norms: Tensor) -> None:
        """See `Margin.observe`: the mean of the target's cosines."""
        self.t += self.rate * (target.mean() - self.t)

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target`."""
        return arcface_target(cos, self.m)

    def others(self, cos: Tensor, target: Tensor) -> Tensor:
        """See `Margin.others`: hard classes weighed by t."""
        return torch.where(cos > target.unsqueeze(1), cos * (self.t + cos), cos)
