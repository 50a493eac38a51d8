"""Relational distillation: distances and angles among the features of a batch approach the teacher's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.pairwise import check_same_images, gram_matrix
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return smooth L1 between both networks' pairwise distances, divided by their mean (Park et al., section 3.2.1).

    The mean that divides is over pairs of different points; the loss is the mean over all N^2 pairs, of which those of
    an image with itself add 0. Shifting, rotating or scaling features changes nothing.

    Args:
        student: float [N, D].
        teacher: float [N, E]; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is; value and gradient are finite even where points coincide.

    Raises:
        ModelError: the numbers of images differ.
    """
    student_rows, teacher_rows = check_same_images(student, teacher, "features")
    student_distances = _mean_normalize(_pairwise_offsets(student_rows)[1])
    teacher_distances = _mean_normalize(_pairwise_offsets(teacher_rows)[1])
    return functional.smooth_l1_loss(student_distances, teacher_distances)


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return smooth L1 between the cosines of the angles at j of all triples i, j, k (Park et al., section 3.2.2).

    The mean is over all N^3 triples. A triple in which j coincides with i or k has the cosine 0, and where i is k both
    cosines are 1. It takes memory for N^2 (D + N) numbers per network. Arguments, result and errors as for
    ``distance_loss``.
    """
    student_rows, teacher_rows = check_same_images(student, teacher, "features")
    student_cosines = gram_matrix(_pairwise_offsets(student_rows)[0])
    teacher_cosines = gram_matrix(_pairwise_offsets(teacher_rows)[0])
    return functional.smooth_l1_loss(student_cosines, teacher_cosines)


def _pairwise_offsets(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit vectors from points j to points i, [j, i, D], and distances [j, i].

    Points closer than the dtype's rounding error at 1 count as equal: distance and vector are 0 and have no gradient,
    because the gradient of a square root is infinite at 0.
    """
    offsets = points[None] - points[:, None]
    squares = offsets.square().sum(dim=2)
    inverse = torch.where(squares > torch.finfo(points.dtype).eps ** 2, squares, torch.inf).rsqrt()
    return offsets * inverse[..., None], squares * inverse


def _mean_normalize(distances: Tensor) -> Tensor:
    """Divide distances by the mean of those above 0; where all are 0, return zeros."""
    count = (distances > 0).sum()
    return distances / torch.where(count > 0, distances.sum() / count.clamp(min=1), 1.0)


@register_loss
class RKD(Loss):
    """The weighted sum of ``distance_loss`` and ``angle_loss``.

    Options:
        distance_weight: the weight of the distances; 0 leaves them out.
        angle_weight: the weight of the angles; 0 leaves them out, which saves most of the computation.
    """

    name = "rkd"
    family = "relations"
    paper = "Park et al., Relational Knowledge Distillation, CVPR 2019"
    equation = (
        "distance_weight mean_ij h(d_s / mean d_s, d_t / mean d_t) + angle_weight mean_ijk h(cos_s, cos_t), "
        "h smooth L1, d_ij = |f_i - f_j|, cos_ijk of the angle at f_j"
    )
    weight_source = "1: its own options 25 and 50, from the benchmark of CRD (Tian et al., ICLR 2020), are the weights"
    needs_features = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, distance_weight: float = 25.0,
        angle_weight: float = 50.0,
    ) -> None:
        super().__init__(student, teacher, size)
        if not distance_weight + angle_weight:
            raise ModelError("loss rkd: distance_weight and angle_weight are both 0: give one of them a weight")
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        terms = ((self.distance_weight, distance_loss), (self.angle_weight, angle_loss))
        losses = [weight * term(student.features, teacher.features) for weight, term in terms if weight]
        return torch.stack(losses).sum()
