"""MagFace: the longer the embedding, the larger its margin, so that length tells the quality of an image."""

from __future__ import annotations

from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin import Margin, checked_angle
from facekd.heads.margins import arcface_target


class MagFace(Margin):
    """Magnitude-aware margin (Meng et al., CVPR 2021, section 3).

    s cos(theta + m(a)) for the target, where a is the embedding's length and m rises in a line from l_m at a = l_a to
    u_m at a = u_a; to the loss of each sample comes lambda g(a), with g(a) = 1 / a + a / u_a^2, which pulls lengths
    towards u_a. Both have a gradient in a.

    Lengths 10 to 110 (l_a, u_a), margins 0.45 to 0.8 (l_m, u_m) and weight 35 (lambda), under a scale of 64, are the
    authors'. Length is sure to rise with quality where lambda >= s K u_a^2 l_a^2 / (u_a^2 - l_a^2), K being the slope
    of m: with these values from 22.6 on. The paper takes all lengths to lie between l_a and u_a.

    Ours: beyond these bounds m is held, as in the authors' program, but g is not, or short embeddings would stay short;
    below l_a it goes on as its tangent, since 1 / a has no bound. And the margin counts at any angle, see
    ``arcface_target``; their program leaves it out beyond 90 degrees.
    """

    def __init__(self, *, norms: tuple[float, float] = (10.0, 110.0), margins: tuple[float, float] = (0.45, 0.8),
                 weight: float = 35.0) -> None:
        super().__init__()
        if not 0 < norms[0] < norms[1]:
            raise ModelError(f"head: norms must be two rising lengths above 0, not {list(norms)}")
        if checked_angle(margins[0]) > checked_angle(margins[1]):
            raise ModelError(f"head: margins must not fall, as {list(margins)} do")
        self.norms, self.margins, self.weight = norms, margins, weight

    def margin(self, norms: Tensor) -> Tensor:
        """m(a) of embeddings with these lengths, [N]: in radians, between the two margins."""
        (low, high), (least, most) = self.norms, self.margins
        return least + (most - least) / (high - low) * (norms.clamp(low, high) - low)

    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """See `Margin.target`."""
        return arcface_target(cos, self.margin(norms))

    def penalty(self, norms: Tensor) -> Tensor:
        """See `Margin.penalty`: lambda g(a)."""
        low, high = self.norms
        held = norms.clamp_min(low)
        return self.weight * (1 / held + held / high**2 + (1 / high**2 - 1 / low**2) * (norms - held))
