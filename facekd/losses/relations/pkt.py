"""Probabilistic knowledge transfer: who is whose neighbour, as a distribution, is brought to the teacher's."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.pairwise import products, relatable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question
from facekd.utils.functional import unit

LEAST = 1e-6
"""Added to every similarity (ours), so that the logarithm at opposite features is finite."""


def neighbour_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the N^2 pairs of p_ij log(p_ij / q_ij) (Passalis & Tefas, section 3, cosine kernel).

    p and q are the teacher's and the student's similarities (cos + 1) / 2 with every row brought to sum 1. The paper
    leaves the pairs i = j out and sums over the others; here, as in the benchmark that the default weight comes from,
    these pairs take part and the sum is divided by N^2. Scaling or rotating features changes nothing.

    Args:
        student: float [N, D].
        teacher: float [N, E]; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is, in nats.

    Raises:
        ModelError: the numbers of images differ.
    """
    student, teacher = relatable(student, teacher, "features")
    own, target = _neighbours(student), _neighbours(teacher)
    return (target * (target.log() - own.log())).mean()


def _neighbours(features: Tensor) -> Tensor:
    """Row i is the distribution over all images of being the neighbour of image i; [N, N], all above 0."""
    similar = (products(unit(features)) + 1) / 2 + LEAST
    return similar / similar.sum(dim=1, keepdim=True)


@register
class PKT(Loss):
    """See ``neighbour_divergence``."""

    name = "pkt"
    paper = "Passalis & Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018"
    equation = "mean_ij p_ij log(p_ij / q_ij), p (teacher) and q (student) = (cos(f_i, f_j) + 1) / 2, rows of sum 1"
    weight = 30000.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    features = True

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return neighbour_divergence(student.features, teacher.features)
