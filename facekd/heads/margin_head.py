"""Class centres under a margin: one centre a class, or several, of which the nearest counts.

Cosines are taken in float32 even under autocast: bfloat16 cannot tell two angles 5 degrees apart near zero, and the
scale of 64 would multiply the error.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.heads.base import Head
from facekd.heads.margin import Margin
from facekd.utils.functional import unit


def cosines(embeddings: Tensor, centres: Tensor, each: int = 1) -> Tensor:
    """Cosine of every embedding with every class: with the nearest of its centres.

    The maximum over sub-centres is that of sub-centre ArcFace (Deng et al., ECCV 2020, section 3.2), which found K = 3
    good for noisy labels. Only the nearest centre of a class has a gradient.

    Args:
        embeddings: [N, D], any float dtype.
        centres: [classes * each, D], the centres of a class one after the other; all the classes or one shard of them.
        each: K, centres a class.

    Returns:
        [N, classes] in float32, or in float64 where an input is; rounding may pass 1 by a few units in the last place.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(embeddings.dtype, centres.dtype), torch.float32)
        cos = functional.linear(unit(embeddings.to(dtype)), unit(centres.to(dtype)))
    return cos if each == 1 else cos.reshape(len(cos), -1, each).max(dim=2).values


def norms(embeddings: Tensor) -> Tensor:
    """Lengths [N] of embeddings [N, D], with a gradient; in float32, or in float64 for float64 embeddings."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    lengths: Tensor = torch.linalg.vector_norm(embeddings.to(dtype), dim=1)
    return lengths


class MarginHead(Head):
    """Centres of all classes, in one process, under a margin.

    Args:
        embedding: length of embeddings.
        classes: of the training set.
        margin: the rule.
        scale: s, what logits are multiplied by.
        centres: K, centres a class; above 1 it is sub-centre ArcFace's head, under any margin.

    Attributes:
        weight: float32 [classes * centres, embedding], not normalised, the centres of a class one after the other.

    Raises:
        ModelError: a value that cannot be used.
    """

    def __init__(self, embedding: int, classes: int, margin: Margin, scale: float = 64.0, centres: int = 1) -> None:
        super().__init__()
        if min(embedding, classes, centres) < 1:
            raise ModelError(
                f"head: embedding, classes and centres must be at least 1, not {embedding}, {classes} and {centres}"
            )
        if not 0 < scale < math.inf:
            raise ModelError(f"head: scale must be above 0, not {scale}")
        self.margin, self.scale, self.centres = margin, float(scale), centres
        self.weight = nn.Parameter(torch.empty(classes * centres, embedding))
        nn.init.normal_(self.weight, 0.0, 0.01)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Logits for the cross entropy; in training mode the margin observes the batch first.

        Args:
            embeddings: [N, embedding], any float dtype, not normalised; the whole batch.
            labels: int64 [N], in [0, classes).

        Returns:
            [N, classes], scaled; float32, or float64 for float64 embeddings.
        """
        cos, lengths = cosines(embeddings, self.weight, self.centres), norms(embeddings)
        target = cos.gather(1, labels.unsqueeze(1)).squeeze(1)
        if self.training:
            self.margin.observe(target, lengths)
        return self.scale * self.margin.logits(cos, labels, target, lengths)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `Head.loss`: with the mean of the margin's penalty."""
        return super().loss(embeddings, labels) + self.margin.penalty(norms(embeddings)).mean()
