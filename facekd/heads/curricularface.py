"""CurricularFace: hard negatives gain weight as training progresses."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.heads.margin import Margin, check_angle, check_rate
from facekd.heads.margins import arcface_target


class CurricularFace(Margin):
    """Adaptive curriculum (Huang et al., CVPR 2020, section 3.2).

    The target's logit is T = cos(theta + m), as in ArcFace. The cosine c with another class is unchanged where T >= c.
    Where c is larger, the sample is hard and the logit is c (t + c). t is the running mean of the target's cosine and
    starts at 0: early in training a hard class has less weight, later more. t and the choice of hard classes are
    constants for the gradient.

    The paper writes t_k = a r_k + (1 - a) t_{k-1} with a = 0.99, which would give the newest batch a share of 0.99; in
    the authors' program its share is 0.01, and so it is here. t includes the newest batch when it is used.

    Margin 0.5, with scale 64, is the paper's. Ours: T beyond pi, see ``arcface_target``.

    Options:
        margin: m in radians, in [0, pi / 2).
        rate: the share of the newest batch in t.
    """

    t: Tensor

    def __init__(self, *, margin: float = 0.5, rate: float = 0.01) -> None:
        super().__init__()
        self.m = check_angle(margin)
        self.rate = check_rate(rate)
        self.register_buffer("t", torch.tensor(0.0))

    @torch.no_grad()
    def update_statistics(self, target: Tensor, norms: Tensor) -> None:
        """See `Margin.update_statistics`: the mean of the target's cosines."""
        self.t += self.rate * (target.mean() - self.t)

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target_logit`."""
        return arcface_target(cos, self.m)

    def other_logits(self, cos: Tensor, target: Tensor) -> Tensor:
        """See `Margin.other_logits`: the cosines of hard classes are modulated by t."""
        return torch.where(cos > target.unsqueeze(1), cos * (self.t + cos), cos)
