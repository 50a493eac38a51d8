"""Margins that are the same for every sample: ArcFace, CosFace, and both and SphereFace's in one.

The margin is part of the graph, so gradients are those of the formula.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin import Margin, checked_angle

SINE_SQUARED_FLOOR = 1e-6
"""Below this (|cos| > 1 - 5e-7) the sine is held, because its slope in the cosine grows without bound."""


def sine(cos: Tensor) -> Tensor:
    """Sin(theta) of cosines; at least 1e-3, where it is held, with a finite gradient everywhere."""
    # (1 - c)(1 + c) rather than 1 - c^2: the first difference is exact in floating point, where it matters.
    return ((1 - cos) * (1 + cos)).clamp_min(SINE_SQUARED_FLOOR).sqrt()


def arcface_target(cos: Tensor, margin: float | Tensor) -> Tensor:
    """The target's cosine under an additive angular margin (ArcFace, equation 3, without the scale).

    ``cos(theta + m)`` while theta + m lies in [0, pi]. Beyond pi it would rise again and reward the worst samples;
    there ``cos(theta) + cos(m) - 1`` goes on instead, which meets it at -1 without a jump and keeps falling, with a
    gradient. (InsightFace's older ``cos(theta) - m sin(m)`` falls too, but drops by 0.12 at the seam for m = 0.5.)
    Below 0, where a negative margin leads, it would fall again and push the best samples away; there it is held at 1.

    Args:
        cos: cosines of embeddings with their own centres, any shape, float32 or float64.
        margin: m in radians, in (-pi / 2, pi / 2); one for all, or one each, in the shape and dtype of ``cos``.

    Returns:
        Same shape and dtype; value and gradient are finite everywhere, and exact for |cos| <= 1 - 1e-6.
    """
    m = margin if isinstance(margin, Tensor) else cos.new_full((), margin)
    turned = cos * m.cos() - sine(cos) * m.sin()
    turned = torch.where((cos <= -m.cos()) & (m > 0), cos + (m.cos() - 1), turned)
    return torch.where((cos > m.cos()) & (m < 0), 1.0, turned)


def cosface_target(cos: Tensor, margin: float) -> Tensor:
    """The target's cosine less a margin (CosFace, equation 4, without the scale); shape and dtype as given."""
    return cos - margin


def combined_target(cos: Tensor, margins: tuple[float, float, float]) -> Tensor:
    """The target's cosine under three margins: ``cos(m1 theta + m2) - m3`` (ArcFace, equation 4, without the scale).

    Beyond m1 theta + m2 = pi it goes on as a line of slope 1 in cos(theta), as ``arcface_target`` does.

    Args:
        cos: cosines of embeddings with their own centres, any shape, float32 or float64.
        margins: m1 (SphereFace's, above 0), m2 (ArcFace's, in [0, pi / 2)) and m3 (CosFace's).

    Returns:
        Same shape and dtype; value and gradient are finite everywhere.
    """
    times, plus, minus = margins
    # The arc tangent, because the arc cosine has no finite slope at 1 and -1.
    angle = times * torch.atan2(sine(cos), cos) + plus
    seam = min((math.pi - plus) / times, math.pi)
    return torch.where(angle <= math.pi, angle.cos(), cos - (math.cos(seam) + 1)) - minus


class ArcFace(Margin):
    """Additive angular margin: s cos(theta + m) for the target, s cos(theta) for the rest (equation 3).

    Deng et al., CVPR 2019. Margin 0.5, under a scale of 64, is the paper's.
    """

    def __init__(self, *, margin: float = 0.5) -> None:
        super().__init__()
        self.m = checked_angle(margin)

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``arcface_target``."""
        return arcface_target(cos, self.m)


class CosFace(Margin):
    """Additive cosine margin: s (cos(theta) - m) for the target, s cos(theta) for the rest (equation 4).

    Wang et al., CVPR 2018. Margin 0.35, under a scale of 64, is the paper's.
    """

    def __init__(self, *, margin: float = 0.35) -> None:
        super().__init__()
        self.m = checked_angle(margin)

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``cosface_target``."""
        return cosface_target(cos, self.m)


class Combined(Margin):
    """Three margins in one: s (cos(m1 theta + m2) - m3) for the target (ArcFace, Deng et al., CVPR 2019, equation 4).

    The order is that of the paper and of InsightFace's ``margin_list``. (1, 0.3, 0.2) is the paper's CM1 (table 2),
    whose CM2 is (0.9, 0.4, 0.15); (1, m, 0) is ArcFace, (1, 0, m) CosFace, (1.35, 0, 0) the paper's SphereFace.
    """

    def __init__(self, *, margins: tuple[float, float, float] = (1.0, 0.3, 0.2)) -> None:
        super().__init__()
        if not margins[0] > 0:
            raise ModelError(f"head: the first margin multiplies the angle and must be above 0, not {margins[0]}")
        checked_angle(margins[1])
        self.margins = margins

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See ``combined_target``."""
        return combined_target(cos, self.margins)
