"""Similarity preserving: images that the teacher's maps find alike are to be alike in the student's."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.feature_maps import paired
from facekd.losses.pairwise import products, relatable
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the b^2 pairs of the squared difference of the row-normalised Gram matrices (Tung & Mori, section 3).

    Each row of G = F F^T is brought to unit length; a row of zeros stays one. Scaling all maps of one network, or
    permuting or rotating their elements alike in all images, changes nothing.

    Args:
        student: float [b, ...], flattened to one row an image.
        teacher: float [b, ...], of any other size; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the numbers of images differ.
    """
    student, teacher = relatable(student, teacher, "maps")
    return (unit(products(student)) - unit(products(teacher))).square().mean()


@register
class SP(Loss):
    """See ``similarity_preserving``; it looks at the last map of either network, as the paper does."""

    name = "sp"
    paper = "Tung & Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019"
    equation = "|rownorm(G_s) - rownorm(G_t)|_F^2 / b^2, G = F F^T of the b flattened last maps"
    weight = 3000.0
    origin = "benchmark of CRD (Tian et al., ICLR 2020)"
    maps = True

    def __init__(self, student: Answer, teacher: Answer, size: Size) -> None:
        super().__init__(student, teacher, size)
        paired(student, teacher, self.name)  # refuses a sample without maps before anything is trained

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return similarity_preserving(*paired(student, teacher, self.name)[-1])
