"""Margin softmax against given class centers: the computation of a margin head without trained centers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.heads.margin_head import cosine_matrix
from facekd.heads.margins import arcface_target, cosface_target


def margin_cross_entropy(
    embeddings: Tensor,
    centers: Tensor,
    labels: Tensor,
    margin: float | Tensor,
    *,
    scale: float = 64.0,
    angular: bool = True,
) -> Tensor:
    """Return the batch mean of the cross entropy of scaled cosines, with a margin on the cosine of the true class.

    Args:
        embeddings: [N, D], any float dtype, of any length.
        centers: [classes, D], any float dtype, of any length; receive a gradient unless they are detached.
        labels: the true classes, int64 [N], in [0, classes).
        margin: one margin for all images, in [0, pi / 2], or one for each, float [N].
        scale: the factor of the cosines.
        angular: use ArcFace's margin (``arcface_target``); else CosFace's (``cosface_target``).

    Returns:
        A scalar in float32, or in float64 where an input is.
    """
    cos = cosine_matrix(embeddings, centers)
    column = labels[:, None]
    target_cos = cos.gather(1, column).squeeze(1)
    # In the dtype of the cosines, so that a margin of another dtype does not promote them.
    margins = torch.as_tensor(margin, dtype=cos.dtype, device=cos.device)
    target = arcface_target(target_cos, margins) if angular else cosface_target(target_cos, margins)
    return functional.cross_entropy(scale * cos.scatter(1, column, target[:, None]), labels)


def check_scale_and_margin(loss: str, scale: float, margin: float) -> None:
    """Refuse a scale or a margin that a loss cannot be computed with.

    Args:
        loss: the name of the loss, for the error message.
        scale: the factor of the cosines.
        margin: the margin in radians.

    Raises:
        ModelError: the scale is 0 or below, or the margin pi / 2 or above.
    """
    if scale <= 0 or margin >= math.pi / 2:
        raise ModelError(f"loss {loss}: scale must be above 0 and margin below pi/2, not {scale} and {margin}")
