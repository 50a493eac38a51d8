"""Relational distillation: distances and angles among the features of a batch are brought to the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.pairwise import products, relatable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between the pairwise distances of both, each divided by its mean (Park et al., section 3.2.1).

    The mean that divides is over pairs of different points; the loss is the mean over all N^2 pairs, of which those of
    an image with itself add 0. Shifting, rotating or scaling features changes nothing.

    Args:
        student: float [N, D].
        teacher: float [N, E]; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is; it and its gradient are finite also where points coincide.

    Raises:
        ModelError: the numbers of images differ.
    """
    own, target = (_steps(rows)[1] for rows in relatable(student, teacher, "features"))
    return functional.smooth_l1_loss(_relative(own), _relative(target))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 between the cosines of the angles at j of all triples i, j, k (Park et al., section 3.2.2).

    The mean is over all N^3 triples. One in which j coincides with i or k has the cosine 0, and where i is k both
    cosines are 1. It takes memory for N^2 (D + N) numbers a network. Arguments, result and errors as
    ``distance_loss``.
    """
    own, target = (products(_steps(rows)[0]) for rows in relatable(student, teacher, "features"))
    return functional.smooth_l1_loss(own, target)


def _steps(points: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors from points j to points i, [j, i, D], and distances [j, i].

    Points nearer than the dtype's rounding at 1 count as one: distance and vector 0, and no gradient, where that of a
    root would be infinite.
    """
    gaps = points[None] - points[:, None]
    squares = gaps.square().sum(dim=2)
    inverse = torch.where(squares > torch.finfo(points.dtype).eps ** 2, squares, torch.inf).rsqrt()
    return gaps * inverse[..., None], squares * inverse


def _relative(distances: Tensor) -> Tensor:
    """Distances divided by the mean of those above 0; zeros where all are 0."""
    count = (distances > 0).sum()
    return distances / torch.where(count > 0, distances.sum() / count.clamp(min=1), 1.0)


@register
class RKD(Loss):
    """The sum of ``distance_loss`` and ``angle_loss``, each times its option.

    Options:
        distance: weight of the distances; 0 leaves them out.
        angle: weight of the angles; 0 leaves them out, which are most of the work.
    """

    name = "rkd"
    paper = "Park et al., Relational Knowledge Distillation, CVPR 2019"
    equation = (
        "distance mean_ij h(d_s / mean d_s, d_t / mean d_t) + angle mean_ijk h(cos_s, cos_t), h smooth L1, "
        "d_ij = |f_i - f_j|, cos_ijk of the angle at f_j"
    )
    origin = "1: its own options 25 and 50, from the benchmark of CRD (Tian et al., ICLR 2020), hold the weights"
    features = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, distance: float = 25.0, angle: float = 50.0
    ) -> None:
        super().__init__(student, teacher, size)
        if not distance + angle:
            raise ModelError("loss rkd: distance and angle are both 0: give one of them a weight")
        self.distance, self.angle = distance, angle

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        terms = ((self.distance, distance_loss), (self.angle, angle_loss))
        losses = [weight * term(student.features, teacher.features) for weight, term in terms if weight]
        return torch.stack(losses).sum()
