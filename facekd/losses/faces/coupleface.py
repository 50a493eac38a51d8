"""CoupleFace: embeddings are brought to the teacher's, and so is what they have in common with those of others."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable
from facekd.losses.faces.centres import cosines
from facekd.losses.registry import Loss, register
from facekd.losses.responses.embeddings import REMEDY, l2
from facekd.types import Answer, Question, Size


def mined(teacher: Tensor, labels: Tensor, negatives: int) -> Tensor:
    """Which pairs of images tell most of the teacher's relations.

    Args:
        teacher: the teacher's cosines of all images with each other, [N, N].
        labels: int64 [N], the people.
        negatives: how many images of others to take for each image, those most alike to the teacher.

    Returns:
        bool [N, N], row i for image i: its person's other images, and its hardest negatives; never itself.
    """
    same = labels[:, None] == labels
    hardest = teacher.masked_fill(same, -torch.inf).topk(min(negatives, len(labels)), dim=1).indices
    others = torch.zeros_like(same).scatter(1, hardest, True) & ~same
    return others | (same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device))


def relations(student: Tensor, teacher: Tensor, labels: Tensor, negatives: int) -> Tensor:
    """Mean over the mined pairs i, j of (cos(s_i, t_j) - cos(t_i, t_j))^2; 0 where there is no pair.

    The student is compared with the teacher's embedding of the other image, not with its own of it: embeddings that
    are turned all alike are not forgiven.

    Args:
        student: float [N, D], any float dtype.
        teacher: float [N, D], likewise; receives no gradient.
        labels: int64 [N], the people.
        negatives: see ``mined``.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = comparable(student, teacher, "embeddings", REMEDY)
    target = cosines(teacher, teacher)
    pairs = mined(target, labels, negatives)
    gaps = (cosines(student, teacher) - target).square().masked_fill(~pairs, 0)
    return gaps.sum() / pairs.sum().clamp(min=1)


@register
class CoupleFace(Loss):
    """Feature consistency plus mutual relations of mined pairs, after CoupleFace (Liu et al., ECCV 2022).

    From the paper: both terms, that a relation is one of the student's embedding with the teacher's of another image,
    and that informative pairs are mined. Ours, as the formulas were written from the paper's abstract and memory: pairs
    come from the batch alone, without its memory of people; the teacher's cosines choose them, so that the choice does
    not change with the student; differences are squared; and all weights.

    Options:
        relation: weight of the mutual relations beside the feature consistency, which has 1.
        negatives: how many hardest negatives are mined for each image.
    """

    name = "coupleface-ours"
    paper = "after Liu et al., CoupleFace: Relation Matters for Face Recognition Distillation, ECCV 2022"
    equation = (
        "mean_i |s_i - t_i|^2 + relation mean_ij (s_i t_j - t_i t_j)^2 at unit length, j the other images "
        "of i's person and the negatives most alike to t_i"
    )
    origin = "1: ours"
    faces = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, relation: float = 1.0, negatives: int = 10
    ) -> None:
        super().__init__(student, teacher, size)
        if negatives < 1:
            raise ModelError(f"loss coupleface-ours: negatives must be at least 1, not {negatives}")
        self.relation, self.negatives = relation, negatives

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        consistency = l2(student.outputs, teacher.outputs, normalize=True)
        mutual = relations(student.outputs, teacher.outputs, question.labels, self.negatives)
        return consistency + self.relation * mutual
