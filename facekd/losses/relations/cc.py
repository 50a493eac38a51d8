"""Correlation congruence: the correlations among the images of a batch approach the teacher's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.pairwise import check_same_images, gram_matrix
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize


def correlations(features: Tensor, gamma: float, order: int) -> Tensor:
    """Return the Gaussian kernel exp(-gamma |f_i - f_j|^2) of unit-length features, by its Taylor series in the cosine.

    Args:
        features: float32 or float64 [N, D], of any length; they are normalized first.
        gamma: gamma of the kernel.
        order: the last power of the cosine in the series.

    Returns:
        [N, N]: the sum over p = 0..order of exp(-2 gamma) (2 gamma)^p / p! cos(f_i, f_j)^p.
    """
    cosines = gram_matrix(l2_normalize(features))
    terms = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(terms).sum(dim=0)


@register_loss
class CC(Loss):
    """Mean over the N^2 pairs of the squared difference of both networks' ``correlations`` (Peng et al., section 3).

    Ours: the kernel is applied to the features themselves, without trained embeddings before it, because correlations
    of features of different lengths can be compared; and no part of the teacher's side can then adapt to the student.
    The paper adds this loss to ``kd``, which the recipe must name in addition. Scaling or rotating features changes
    nothing.

    The benchmark of CRD (Tian et al., ICLR 2020) has weight 0.02 for a different loss of the same name: inner products
    of successive images' differences between student and teacher. That weight does not carry over.

    Options:
        gamma: gamma of the kernel, above 0.
        order: the order of the series, above 0; 2 as in the paper.
    """

    name = "cc"
    family = "relations"
    paper = "Peng et al., Correlation Congruence for Knowledge Distillation, ICCV 2019"
    equation = "mean_ij (k(s_i, s_j) - k(t_i, t_j))^2, k = exp(-2 gamma) sum_{p <= order} (2 gamma cos)^p / p!"
    weight_source = "1: neutral, not from a source and not tuned; the paper's own was not at hand"
    needs_features = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, gamma: float = 0.4, order: int = 2
    ) -> None:
        super().__init__(student, teacher, size)
        if gamma == 0 or order == 0:
            raise ModelError(f"loss cc: gamma and order must be above 0, not {gamma} and {order}: else all is constant")
        self.gamma = gamma
        self.order = order

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_rows, teacher_rows = check_same_images(student.features, teacher.features, "features")
        student_kernel = correlations(student_rows, self.gamma, self.order)
        teacher_kernel = correlations(teacher_rows, self.gamma, self.order)
        return (student_kernel - teacher_kernel).square().mean()
