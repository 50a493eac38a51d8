"""A head of class centers with a margin: one center per class, or several, of which the nearest counts.

Cosines are computed in float32 even under autocast: near zero, bfloat16 cannot tell two angles 5 degrees apart, and the
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
from facekd.utils.functional import l2_normalize


def cosine_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of every row of one matrix with every row of another, in float32 or better.

    Args:
        first: [N, D], any float dtype, any length of the rows.
        second: [M, D], any float dtype, any length of the rows; a zero row gives the cosine 0.

    Returns:
        [N, M] in float32, or in float64 where an input is, even under autocast; rounding may exceed 1 by a few units in
        the last place.
    """
    with torch.autocast(first.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
        return functional.linear(l2_normalize(first.to(dtype)), l2_normalize(second.to(dtype)))


def class_cosines(embeddings: Tensor, centers: Tensor, sub_centers: int = 1) -> Tensor:
    """Return the cosine of every embedding with every class: with the nearest of the class's centers.

    The maximum over sub-centers is that of sub-center ArcFace (Deng et al., ECCV 2020, section 3.2), which finds K = 3
    good for noisy labels. Only the nearest center of a class has a gradient.

    Args:
        embeddings: [N, D], any float dtype.
        centers: [classes * sub_centers, D], the centers of a class consecutive; all classes or one shard of them.
        sub_centers: K, the number of centers per class.

    Returns:
        [N, classes]; dtype and rounding as for ``cosine_matrix``.
    """
    cos = cosine_matrix(embeddings, centers)
    return cos if sub_centers == 1 else cos.reshape(len(cos), -1, sub_centers).max(dim=2).values


def embedding_norms(embeddings: Tensor) -> Tensor:
    """Return the lengths [N] of embeddings [N, D], with a gradient; float32, or float64 for float64 embeddings."""
    dtype = torch.promote_types(embeddings.dtype, torch.float32)
    norms: Tensor = torch.linalg.vector_norm(embeddings.to(dtype), dim=1)
    return norms


class MarginHead(Head):
    """Class centers of all classes in one process, with a margin.

    Args:
        embedding_size: the length of the embeddings.
        classes: the number of classes of the training set.
        margin: the margin rule.
        scale: s, the factor of the logits.
        sub_centers: K, the number of centers per class; above 1 this is the head of sub-center ArcFace, with any
            margin.

    Attributes:
        weight: the class centers, float32 [classes * sub_centers, embedding_size], not normalized, the centers of a
            class consecutive.

    Raises:
        ModelError: an argument is out of range.
    """

    def __init__(
        self, embedding_size: int, classes: int, margin: Margin, scale: float = 64.0, sub_centers: int = 1
    ) -> None:
        super().__init__()
        if min(embedding_size, classes, sub_centers) < 1:
            raise ModelError(f"head: embedding_size, classes and sub_centers must be at least 1, not {embedding_size}, "
                             f"{classes} and {sub_centers}")
        if not 0 < scale < math.inf:
            raise ModelError(f"head: scale must be above 0, not {scale}")
        self.margin = margin
        self.scale = float(scale)
        self.sub_centers = sub_centers
        self.weight = nn.Parameter(torch.empty(classes * sub_centers, embedding_size))
        nn.init.normal_(self.weight, 0.0, 0.01)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the logits for the cross entropy; in training mode the margin's statistics are updated first.

        Args:
            embeddings: the embeddings of the whole batch, [N, embedding_size], any float dtype, not normalized.
            labels: the true classes, int64 [N], in [0, classes).

        Returns:
            [N, classes], scaled; float32, or float64 for float64 embeddings.
        """
        cos = class_cosines(embeddings, self.weight, self.sub_centers)
        norms = embedding_norms(embeddings)
        target = cos.gather(1, labels.unsqueeze(1)).squeeze(1)
        if self.training:
            self.margin.update_statistics(target, norms)
        return self.scale * self.margin.logits(cos, labels, target, norms)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """See `Head.loss`: with the mean of the margin's penalty."""
        return super().loss(embeddings, labels) + self.margin.penalty(embedding_norms(embeddings)).mean()
