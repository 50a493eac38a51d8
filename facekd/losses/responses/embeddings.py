"""Embedding mimicking: distances between a student's and a teacher's embeddings of the same images.

Sources: FitNets' L2 on the embedding as face distillation uses it, and Route Constrained Optimization (Jin et al.,
ICCV 2019), which takes the teacher from an anchor of its route.
"""

from __future__ import annotations

from torch import Tensor

from facekd.losses.comparable import comparable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit

REMEDY = "give both the same size, or the student a projection"


def l2(student: Tensor, teacher: Tensor, normalize: bool = False) -> Tensor:
    """Mean over the batch of the squared distance ||t - s||^2, summed over the dimensions.

    Args:
        student: [N, D], any float dtype.
        teacher: [N, D], any float dtype; receives no gradient.
        normalize: scale both to unit length first; the loss then is 2 - 2 cos.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = comparable(student, teacher, "embeddings", REMEDY)
    if normalize:
        student, teacher = unit(student), unit(teacher)
    return (teacher - student).square().sum(dim=1).mean()


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of 1 - cos(s, t); arguments, result and errors as ``l2``."""
    student, teacher = comparable(student, teacher, "embeddings", REMEDY)
    return (1 - (unit(student) * unit(teacher)).sum(dim=1)).mean()


@register
class L2(Loss):
    """See ``l2``; unlike there, embeddings are brought to unit length unless ``normalize`` is false."""

    name = "l2"
    paper = "Jin et al., Knowledge Distillation via Route Constrained Optimization, ICCV 2019, and others before"
    equation = "mean_i |t_i - s_i|^2, with t_i and s_i of unit length unless normalize is false"
    faces_weight = 40.0
    origin = "1: neutral; 40: short trials of ours on faces, where no labels stand beside it, but the weight decay does"
    alone = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, normalize: bool = True) -> None:
        super().__init__(student, teacher, size)
        self.normalize = normalize

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return l2(student.outputs, teacher.outputs, self.normalize)


@register
class Cosine(Loss):
    """See ``cosine``."""

    name = "cosine"
    paper = "the usual way to mimic embeddings of faces; no single source"
    equation = "mean_i 1 - cos(s_i, t_i)"
    faces_weight = 80.0
    origin = "as l2, which is twice this at unit length"
    alone = True

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return cosine(student.outputs, teacher.outputs)
