"""Correlation congruence: the correlations among the images of a batch are brought to the teacher's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.pairwise import products, relatable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


def correlations(features: Tensor, gamma: float, order: int) -> Tensor:
    """The Gaussian kernel exp(-gamma |f_i - f_j|^2) of features of unit length, by its Taylor series in the cosine.

    Args:
        features: float32 or float64 [N, D] of any length.
        gamma: of the kernel.
        order: the last power of the cosine in the series.

    Returns:
        [N, N]: the sum over p = 0..order of exp(-2 gamma) (2 gamma)^p / p! cos(f_i, f_j)^p.
    """
    cosines = products(unit(features))
    terms = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(terms).sum(dim=0)


@register
class CC(Loss):
    """Mean over the N^2 pairs of the squared difference of both networks' ``correlations`` (Peng et al., section 3).

    Ours: features are related as they are, without learned embeddings before the kernel, for correlations of features
    of different lengths can be compared; and no part of the teacher's side can then learn to please the student. The
    paper adds it to ``kd``, which is to be named beside it. Scaling or rotating features changes nothing.

    The benchmark of CRD (Tian et al., ICLR 2020) weighs 0.02 a loss of the same name that is another: inner products
    of successive images' differences between student and teacher. That weight does not carry over.

    Options:
        gamma: of the kernel, above 0.
        order: of the series, above 0; 2 as in the paper.
    """

    name = "cc"
    paper = "Peng et al., Correlation Congruence for Knowledge Distillation, ICCV 2019"
    equation = "mean_ij (k(s_i, s_j) - k(t_i, t_j))^2, k = exp(-2 gamma) sum_{p <= order} (2 gamma cos)^p / p!"
    origin = "1: neutral, not from a source and not tuned; the paper's own was not at hand"
    features = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, gamma: float = 0.4, order: int = 2) -> None:
        super().__init__(student, teacher, size)
        if gamma == 0 or order == 0:
            raise ModelError(f"loss cc: gamma and order must be above 0, not {gamma} and {order}: else all is constant")
        self.gamma, self.order = gamma, order

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = (
            correlations(rows, self.gamma, self.order)
            for rows in relatable(student.features, teacher.features, "features")
        )
        return (own - target).square().mean()
