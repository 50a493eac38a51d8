"""Margin softmax heads: ArcFace (Deng et al., CVPR 2019) and CosFace (Wang et al., CVPR 2018).

The margin is part of the graph, so gradients are those of the formula. Cosines are taken in float32 even under
autocast: bfloat16 cannot tell two angles 5 degrees apart near zero, and the scale of 64 would multiply the error.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.vectors import unit

SINE_SQUARED_FLOOR = 1e-6
"""Below this (|cos| > 1 - 5e-7) the sine is held, because its slope in the cosine grows without bound."""


def cosines(embeddings: Tensor, centres: Tensor) -> Tensor:
    """Cosine of every embedding with every class centre.

    Args:
        embeddings: [N, D], any float dtype.
        centres: [classes, D]; all the classes or one shard of them.

    Returns:
        [N, classes] in float32, or in float64 where an input is; rounding may pass 1 by a few units in the last place.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(embeddings.dtype, centres.dtype), torch.float32)
        return functional.linear(unit(embeddings.to(dtype)), unit(centres.to(dtype)))


def arcface_target(cos: Tensor, margin: float) -> Tensor:
    """The target's cosine under an additive angular margin (ArcFace, equation 3, without the scale).

    ``cos(theta + m)`` while theta + m <= pi. Beyond that it would rise again and reward the worst samples; there
    ``cos(theta) + cos(m) - 1`` goes on instead, which meets it at -1 without a jump and keeps falling, with a gradient.
    (InsightFace's older ``cos(theta) - m sin(m)`` falls too, but drops by 0.12 at the seam for m = 0.5.)

    Args:
        cos: cosines of embeddings with their own centres, any shape, float32 or float64.
        margin: m in radians, in [0, pi / 2).

    Returns:
        Same shape and dtype; value and gradient are finite everywhere, and exact for |cos| <= 1 - 1e-6.
    """
    # (1 - c)(1 + c) rather than 1 - c^2: the first difference is exact in floating point, where it matters.
    sine = ((1 - cos) * (1 + cos)).clamp_min(SINE_SQUARED_FLOOR).sqrt()
    rotated = cos * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cos > -math.cos(margin), rotated, cos + (math.cos(margin) - 1))


def cosface_target(cos: Tensor, margin: float) -> Tensor:
    """The target's cosine less a margin (CosFace, equation 4, without the scale); shape and dtype as given."""
    return cos - margin


class MarginHead(nn.Module, ABC):
    """One centre for each class; the target's cosine is made harder by a margin.

    Attributes:
        weight: float32 [classes, embedding], the centres, not normalised.
        default_margin: what the head's paper uses.
    """

    default_margin: float

    def __init__(self, embedding: int, classes: int, scale: float = 64.0, margin: float | None = None) -> None:
        super().__init__()
        self.scale = float(scale)
        self.margin = self.default_margin if margin is None else float(margin)
        if embedding < 1 or classes < 1:
            raise ModelError(f"head: embedding and classes must be at least 1, not {embedding} and {classes}")
        if not (0 < self.scale < math.inf and 0 <= self.margin < math.pi / 2):
            raise ModelError(f"head: scale must be above 0 and margin in [0, pi/2), not {self.scale} and {self.margin}")
        self.weight = nn.Parameter(torch.empty(classes, embedding))
        nn.init.normal_(self.weight, 0.0, 0.01)

    @abstractmethod
    def target_logit(self, cos: Tensor) -> Tensor:
        """The margin on the cosines of embeddings with their own centres, any shape."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Logits for the cross entropy.

        Args:
            embeddings: [N, embedding], any float dtype, not normalised.
            labels: int64 [N], in [0, classes).

        Returns:
            [N, classes], scaled; float32, or float64 for float64 embeddings.
        """
        cos = cosines(embeddings, self.weight)
        own = labels.unsqueeze(1)
        return self.scale * cos.scatter(1, own, self.target_logit(cos.gather(1, own)))


class ArcFace(MarginHead):
    """Additive angular margin: s cos(theta + m) for the target, s cos(theta) for the rest."""

    default_margin = 0.5

    def target_logit(self, cos: Tensor) -> Tensor:
        """See ``arcface_target``."""
        return arcface_target(cos, self.margin)


class CosFace(MarginHead):
    """Additive cosine margin: s (cos(theta) - m) for the target, s cos(theta) for the rest."""

    default_margin = 0.35

    def target_logit(self, cos: Tensor) -> Tensor:
        """See ``cosface_target``."""
        return cosface_target(cos, self.margin)
