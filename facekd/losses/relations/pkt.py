"""Probabilistic knowledge transfer: the distribution over each image's neighbors approaches the teacher's."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.pairwise import check_same_images, gram_matrix
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, ModelOutput
from facekd.utils.functional import l2_normalize

EPSILON = 1e-6
"""Added to every similarity (ours), so that the logarithm is finite for opposite features."""


def neighbor_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean over the N^2 pairs of p_ij log(p_ij / q_ij) (Passalis & Tefas, section 3, cosine kernel).

    p and q are the teacher's and the student's similarities (cos + 1) / 2, every row normalized to sum 1. The paper
    excludes the pairs i = j and sums over the others; here, as in the benchmark that the default weight comes from,
    these pairs are included and the sum is divided by N^2. Scaling or rotating features changes nothing.

    Args:
        student: float [N, D].
        teacher: float [N, E]; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is, in nats.

    Raises:
        ModelError: the numbers of images differ.
    """
    student, teacher = check_same_images(student, teacher, "features")
    q = _neighbor_distribution(student)
    p = _neighbor_distribution(teacher)
    return (p * (p.log() - q.log())).mean()


def _neighbor_distribution(features: Tensor) -> Tensor:
    """Return [N, N], all above 0: row i is the distribution over all images of being the neighbor of image i."""
    similarity = (gram_matrix(l2_normalize(features)) + 1) / 2 + EPSILON
    return similarity / similarity.sum(dim=1, keepdim=True)


@register_loss
class PKT(Loss):
    """Divergence of the neighbor distributions; see ``neighbor_divergence``."""

    name = "pkt"
    family = "relations"
    paper = "Passalis & Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018"
    equation = "mean_ij p_ij log(p_ij / q_ij), p (teacher) and q (student) = (cos(f_i, f_j) + 1) / 2, rows of sum 1"
    weight = 30000.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_features = True

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return neighbor_divergence(student.features, teacher.features)
