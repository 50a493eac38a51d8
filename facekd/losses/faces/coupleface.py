"""CoupleFace: embeddings approach the teacher's, and so do their similarities with the embeddings of other images."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin_head import cosine_matrix
from facekd.losses.comparable import check_comparable
from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.embeddings import REMEDY, l2_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput


def mine_pairs(teacher: Tensor, labels: Tensor, negatives: int) -> Tensor:
    """Select the pairs of images that carry most information on the teacher's relations.

    Args:
        teacher: the teacher's cosines of all images with each other, [N, N].
        labels: the identities, int64 [N].
        negatives: the number of images of other identities to select for each image, those most similar to the teacher.

    Returns:
        bool [N, N], row i for image i: the other images of its identity, and its hardest negatives; never itself.
    """
    same = labels[:, None] == labels
    hardest = teacher.masked_fill(same, -torch.inf).topk(min(negatives, len(labels)), dim=1).indices
    # In a batch with too few negatives, `topk` also returns images of the same identity; `& ~same` drops them.
    others = torch.zeros_like(same).scatter(1, hardest, True) & ~same
    return others | (same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device))


def relation_loss(student: Tensor, teacher: Tensor, labels: Tensor, negatives: int) -> Tensor:
    """Return the mean over the mined pairs i, j of (cos(s_i, t_j) - cos(t_i, t_j))^2; 0 where there is no pair.

    The student is compared with the teacher's embedding of the other image, not with its own of it: a rotation of all
    the student's embeddings is not free.

    Args:
        student: [N, D], any float dtype.
        teacher: [N, D], any float dtype; receives no gradient.
        labels: the identities, int64 [N].
        negatives: the number of negatives, see ``mine_pairs``.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = check_comparable(student, teacher, "embeddings", REMEDY)
    target = cosine_matrix(teacher, teacher)
    pairs = mine_pairs(target, labels, negatives)
    differences = (cosine_matrix(student, teacher) - target).square().masked_fill(~pairs, 0)
    return differences.sum() / pairs.sum().clamp(min=1)


@register_loss
class CoupleFace(Loss):
    """Feature consistency plus mutual relations of mined pairs, after CoupleFace (Liu et al., ECCV 2022).

    From the paper: both terms, that a relation is one of the student's embedding with the teacher's of another image,
    and that informative pairs are mined. Ours, as the formulas were written from the paper's abstract and memory: pairs
    come from the batch alone, without the paper's memory of identities; the teacher's cosines select them, so that the
    selection does not change with the student; differences are squared; and all weights.

    Options:
        relation_weight: the weight of the mutual relations; the feature consistency has weight 1.
        negatives: the number of hardest negatives for each image.
    """

    name = "coupleface-ours"
    family = "faces"
    paper = "after Liu et al., CoupleFace: Relation Matters for Face Recognition Distillation, ECCV 2022"
    equation = (
        "mean_i |s_i - t_i|^2 + relation_weight mean_ij (s_i t_j - t_i t_j)^2 at unit length, j the other images "
        "of i's identity and the negatives most similar to t_i"
    )
    weight_source = "1: ours"
    uses_labels = True
    follows_embeddings = True
    needs_embeddings = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, relation_weight: float = 1.0,
        negatives: int = 10,
    ) -> None:
        super().__init__(student, teacher, size)
        if negatives < 1:
            raise ModelError(f"loss coupleface-ours: negatives must be at least 1, not {negatives}")
        self.relation_weight = relation_weight
        self.negatives = negatives

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        consistency = l2_loss(student.outputs, teacher.outputs, normalize=True)
        relations = relation_loss(student.outputs, teacher.outputs, context.labels, self.negatives)
        return consistency + self.relation_weight * relations
