"""Margin softmax against class centres that are given: what a head does, without centres of its own to train."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.faces.centres import cosines

SINE_SQUARED_FLOOR = 1e-6
"""Below this (|cos| > 1 - 5e-7) the sine is held, because its slope in the cosine grows without bound."""


def rotated(cos: Tensor, margin: float | Tensor) -> Tensor:
    """Cos(theta + m) while theta + m <= pi; beyond that cos(theta) + cos(m) - 1, which goes on falling without a jump.

    Args:
        cos: cosines of theta, any shape.
        margin: m in radians, in [0, pi / 2]; one, or one for each cosine.

    Returns:
        Same shape and dtype; value and gradient are finite everywhere, also at -1 and 1.
    """
    m = _as_cosines(margin, cos)
    sine = ((1 - cos) * (1 + cos)).clamp_min(SINE_SQUARED_FLOOR).sqrt()
    return torch.where(cos > -m.cos(), cos * m.cos() - sine * m.sin(), cos + (m.cos() - 1))


def margin_cross_entropy(
    embeddings: Tensor,
    centres: Tensor,
    labels: Tensor,
    margin: float | Tensor,
    *,
    scale: float = 64.0,
    angular: bool = True,
) -> Tensor:
    """Batch mean of the cross entropy of scaled cosines, of which an image's own one carries a margin.

    Args:
        embeddings: float [N, D], of any length.
        centres: float [classes, D], of any length; receive a gradient unless they are detached.
        labels: int64 [N], in [0, classes).
        margin: one for all images, or float [N].
        scale: of the cosines.
        angular: ArcFace's margin (Deng et al., CVPR 2019), see ``rotated``; else CosFace's cos(theta) - m (Wang et
            al., CVPR 2018).

    Returns:
        A scalar in float32, or in float64 where an input is.
    """
    dtype = torch.promote_types(torch.promote_types(embeddings.dtype, centres.dtype), torch.float32)
    cos = cosines(embeddings.to(dtype), centres.to(dtype))
    own = cos.gather(1, labels[:, None]).squeeze(1)
    harder = rotated(own, margin) if angular else own - _as_cosines(margin, own)
    return functional.cross_entropy(scale * cos.scatter(1, labels[:, None], harder[:, None]), labels)


def refuse_unusable(loss: str, scale: float, margin: float) -> None:
    """Refuse a scale or a margin with which the loss ``loss`` cannot be computed.

    Raises:
        ModelError: the scale is 0, or the margin pi / 2 or more.
    """
    if scale <= 0 or margin >= math.pi / 2:
        raise ModelError(f"loss {loss}: scale must be above 0 and margin below pi/2, not {scale} and {margin}")


def _as_cosines(margin: float | Tensor, cos: Tensor) -> Tensor:
    """The margin in the dtype and on the device of the cosines, so that neither kind of margin changes theirs."""
    return torch.as_tensor(margin, dtype=cos.dtype, device=cos.device)
