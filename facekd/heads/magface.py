"""MagFace: a margin that grows with the length of the embedding, so that the length measures image quality."""

from __future__ import annotations

from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin import Margin, check_angle
from facekd.heads.margins import arcface_target


class MagFace(Margin):
    """Magnitude-aware margin (Meng et al., CVPR 2021, section 3).

    The target's logit is s cos(theta + m(a)), where a is the length of the embedding. m rises linearly from l_m at
    a = l_a to u_m at a = u_a. The loss of each sample also has lambda g(a), with g(a) = 1 / a + a / u_a^2, which pulls
    lengths towards u_a. Both terms have a gradient with respect to a.

    Lengths 10 to 110 (l_a, u_a), margins 0.45 to 0.8 (l_m, u_m) and weight 35 (lambda), with scale 64, are the
    authors'. The length is certain to grow with quality where lambda >= s K u_a^2 l_a^2 / (u_a^2 - l_a^2), K being the
    slope of m: with these values from 22.6 on. The paper assumes all lengths to be between l_a and u_a.

    Ours: outside of these bounds m is constant, as in the authors' program, but g is not, because short embeddings
    would then stay short. Below l_a, g continues as its tangent, because 1 / a is unbounded. The margin applies at any
    angle, see ``arcface_target``; the authors' program drops it beyond 90 degrees.

    Options:
        norms: l_a and u_a, rising, above 0.
        margins: l_m and u_m in radians, not falling.
        weight: lambda, the weight of the penalty on the length.
    """

    def __init__(self, *, norms: tuple[float, float] = (10.0, 110.0), margins: tuple[float, float] = (0.45, 0.8),
                 weight: float = 35.0) -> None:
        super().__init__()
        if not 0 < norms[0] < norms[1]:
            raise ModelError(f"head: norms must be two rising lengths above 0, not {list(norms)}")
        if check_angle(margins[0]) > check_angle(margins[1]):
            raise ModelError(f"head: margins must not fall, as {list(margins)} do")
        self.norms = norms
        self.margins = margins
        self.weight = weight

    def adaptive_margin(self, norms: Tensor) -> Tensor:
        """Return m(a) in radians for embeddings with the lengths ``norms``, [N]."""
        low, high = self.norms
        min_margin, max_margin = self.margins
        return min_margin + (max_margin - min_margin) / (high - low) * (norms.clamp(low, high) - low)

    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target_logit`."""
        return arcface_target(cos, self.adaptive_margin(norms))

    def penalty(self, norms: Tensor) -> Tensor:
        """See `Margin.penalty`: lambda g(a)."""
        low, high = self.norms
        clamped = norms.clamp_min(low)
        # The last term is 0 from `low` on and is the tangent of g at `low` below it.
        return self.weight * (1 / clamped + clamped / high**2 + (1 / high**2 - 1 / low**2) * (norms - clamped))
