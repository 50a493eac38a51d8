"""Embedding mimicking: distances between a student's and a teacher's embeddings of the same images.

Sources: FitNets' L2 on the embedding as face distillation uses it, and Route Constrained Optimization (Jin et al.,
ICCV 2019), which takes the teacher from an anchor of its route.
"""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import check_comparable
from facekd.losses.pairwise import row_cosines
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize

REMEDY = "give both the same size, or the student a projection"


def l2_loss(student: Tensor, teacher: Tensor, normalize: bool = False) -> Tensor:
    """Return the batch mean of the squared distance ||t - s||^2, summed over the dimensions.

    Args:
        student: [N, D], any float dtype.
        teacher: [N, D], any float dtype; receives no gradient.
        normalize: scale both to unit length first; the loss then is 2 - 2 cos.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = check_comparable(student, teacher, "embeddings", REMEDY)
    if normalize:
        student, teacher = l2_normalize(student), l2_normalize(teacher)
    return (teacher - student).square().sum(dim=1).mean()


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the batch mean of 1 - cos(s, t); arguments, result and errors as for ``l2_loss``."""
    return (1 - row_cosines(*check_comparable(student, teacher, "embeddings", REMEDY))).mean()


@register_loss
class L2(Loss):
    """Squared distance of embeddings; see ``l2_loss``.

    Options:
        normalize: scale both embeddings to unit length first.
    """

    name = "l2"
    family = "responses"
    paper = "Jin et al., Knowledge Distillation via Route Constrained Optimization, ICCV 2019, and others before"
    equation = "mean_i |t_i - s_i|^2, with t_i and s_i of unit length unless normalize is false"
    faces_weight = 40.0
    weight_source = "1: neutral; 40: short trials of ours on faces, with no term on labels but with weight decay"
    works_without_label_term = True
    follows_embeddings = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, normalize: bool = True
    ) -> None:
        super().__init__(student, teacher, size)
        self.normalize = normalize

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return l2_loss(student.outputs, teacher.outputs, self.normalize)


@register_loss
class Cosine(Loss):
    """Cosine distance of embeddings; see ``cosine_loss``."""

    name = "cosine"
    family = "responses"
    paper = "the usual way to mimic embeddings of faces; no single source"
    equation = "mean_i 1 - cos(s_i, t_i)"
    faces_weight = 80.0
    weight_source = "as l2, which is twice this at unit length"
    works_without_label_term = True
    follows_embeddings = True

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return cosine_loss(student.outputs, teacher.outputs)
