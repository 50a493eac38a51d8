"""Similarity preserving: images with similar teacher feature maps get similar student feature maps."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.feature_maps import pair_feature_maps
from facekd.losses.pairwise import check_same_images, gram_matrix
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of both row-normalized Gram matrices, over b^2 pairs (Tung & Mori, section 3).

    Each row of G = F F^T is scaled to unit length; a row of zeros stays zero. Scaling all feature maps of one network,
    or permuting or rotating their elements in all images in the same way, changes nothing.

    Args:
        student: float [b, ...], flattened to one row per image.
        teacher: float [b, ...], of any other size; receives no gradient.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the numbers of images differ.
    """
    student, teacher = check_same_images(student, teacher, "feature maps")
    return (l2_normalize(gram_matrix(student)) - l2_normalize(gram_matrix(teacher))).square().mean()


@register_loss
class SP(Loss):
    """``similarity_preserving`` of the last feature maps of both networks, as in the paper."""

    name = "sp"
    family = "relations"
    paper = "Tung & Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019"
    equation = "|rownorm(G_s) - rownorm(G_t)|_F^2 / b^2, G = F F^T of the b flattened last feature maps"
    weight = 3000.0
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020)"
    needs_feature_maps = True

    def __init__(self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize) -> None:
        super().__init__(student, teacher, size)
        pair_feature_maps(student, teacher, self.name)  # refuses a sample without feature maps before training starts

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return similarity_preserving(*pair_feature_maps(student, teacher, self.name)[-1])
