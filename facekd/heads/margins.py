"""Margins that are equal for all samples: ArcFace, CosFace, and the combination of both with SphereFace.

The margin is part of the graph, so gradients are those of the formula.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin import Margin, check_angle

SINE_SQUARED_FLOOR = 1e-6
"""The lower bound of sin^2 (|cos| > 1 - 5e-7), because the sine's slope in the cosine is unbounded near 0."""


def sine(cos: Tensor) -> Tensor:
    """Return sin(theta) of cosines, at least 1e-3, with a finite gradient everywhere."""
    # (1 - c)(1 + c) rather than 1 - c^2: near 1 the difference 1 - c is exact in floating point.
    return ((1 - cos) * (1 + cos)).clamp_min(SINE_SQUARED_FLOOR).sqrt()


def arcface_target(cos: Tensor, margin: float | Tensor) -> Tensor:
    """Return the target's cosine with an additive angular margin (ArcFace, equation 3, before the scale).

    This is ``cos(theta + m)`` while theta + m is in [0, pi]. Beyond pi the cosine would rise again and reward the worst
    samples; there the result is ``cos(theta) + cos(m) - 1``, which continues from -1 without a jump and keeps falling,
    with a gradient. (InsightFace's older ``cos(theta) - m sin(m)`` falls too, but drops by 0.12 at that point for
    m = 0.5.) For theta + m below 0, which a negative margin allows, the cosine would fall again and push the best
    samples away; there the result is 1.

    Args:
        cos: cosines of embeddings with their own class centers, any shape, float32 or float64.
        margin: m in radians, in (-pi / 2, pi / 2]; one number, or a tensor in the shape and dtype of ``cos``.

    Returns:
        Same shape and dtype; value and gradient are finite everywhere, and exact for |cos| <= 1 - 1e-6.
    """
    m = margin if isinstance(margin, Tensor) else cos.new_full((), margin)
    shifted = cos * m.cos() - sine(cos) * m.sin()
    shifted = torch.where((cos <= -m.cos()) & (m > 0), cos + (m.cos() - 1), shifted)
    return torch.where((cos > m.cos()) & (m < 0), 1.0, shifted)


def cosface_target(cos: Tensor, margin: float | Tensor) -> Tensor:
    """Return the target's cosine less a margin (CosFace, equation 4, before the scale), same shape and dtype."""
    return cos - margin


def combined_target(cos: Tensor, margins: tuple[float, float, float]) -> Tensor:
    """Return the target's cosine with three margins: ``cos(m1 theta + m2) - m3`` (ArcFace, equation 4, no scale).

    Beyond m1 theta + m2 = pi it continues as a line of slope 1 in cos(theta), as in ``arcface_target``.

    Args:
        cos: cosines of embeddings with their own class centers, any shape, float32 or float64.
        margins: m1 (SphereFace's, above 0), m2 (ArcFace's, in [0, pi / 2)) and m3 (CosFace's).

    Returns:
        Same shape and dtype; value and gradient are finite everywhere.
    """
    m1, m2, m3 = margins
    # The arc tangent, because the arc cosine has no finite slope at 1 and -1.
    angle = m1 * torch.atan2(sine(cos), cos) + m2
    theta_at_pi = min((math.pi - m2) / m1, math.pi)  # where the line begins; it is placed to continue without a jump
    return torch.where(angle <= math.pi, angle.cos(), cos - (math.cos(theta_at_pi) + 1)) - m3


class ArcFace(Margin):
    """Additive angular margin: s cos(theta + m) for the target, s cos(theta) for other classes (equation 3).

    Deng et al., CVPR 2019. Margin 0.5, with scale 64, is the paper's.

    Options:
        margin: m in radians, in [0, pi / 2).
    """

    def __init__(self, *, margin: float = 0.5) -> None:
        super().__init__()
        self.m = check_angle(margin)

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``arcface_target``."""
        return arcface_target(cos, self.m)


class CosFace(Margin):
    """Additive cosine margin: s (cos(theta) - m) for the target, s cos(theta) for other classes (equation 4).

    Wang et al., CVPR 2018. Margin 0.35, with scale 64, is the paper's.

    Options:
        margin: m, in [0, pi / 2).
    """

    def __init__(self, *, margin: float = 0.35) -> None:
        super().__init__()
        self.m = check_angle(margin)

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``cosface_target``."""
        return cosface_target(cos, self.m)


class Combined(Margin):
    """Three margins in one: s (cos(m1 theta + m2) - m3) for the target (ArcFace, Deng et al., CVPR 2019, equation 4).

    The order is that of the paper and of InsightFace's ``margin_list``. (1, 0.3, 0.2) is the paper's CM1 (table 2),
    whose CM2 is (0.9, 0.4, 0.15); (1, m, 0) is ArcFace, (1, 0, m) CosFace, (1.35, 0, 0) the paper's SphereFace.

    Options:
        margins: m1, m2 and m3.
    """

    def __init__(self, *, margins: tuple[float, float, float] = (1.0, 0.3, 0.2)) -> None:
        super().__init__()
        if not margins[0] > 0:
            raise ModelError(f"head: the first margin multiplies the angle and must be above 0, not {margins[0]}")
        check_angle(margins[1])
        self.margins = margins

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``combined_target``."""
        return combined_target(cos, self.margins)
