"""Triplet distillation: triplets of people, with the margin that the teacher's distances ask for."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable
from facekd.losses.faces.centres import cosines
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size


@register
class TripletDistillation(Loss):
    """Mean over triplets (a, p, n) of max(0, d_s(a, p) - d_s(a, n) + m) (Feng et al., 2019).

    The first two images show one person and the third another; d is the squared distance of unit embeddings, 2 - 2 cos.
    The margin m follows the teacher's gap g = max(0, d_t(a, n) - d_t(a, p)) in a straight line, from ``least`` where
    the teacher sees no gap to ``most`` at the widest gap of the batch: people whom the teacher holds to be very unlike
    are pushed further apart.

    From the paper is the triplet with a margin from the teacher's gap; that the line ends at the batch's widest gap,
    and the default margins, are from memory. Ours is the choice of triplets: all of a batch, pairs in both orders. The
    negative that violates most, alone, drew a student of faces together (cosines of 0.43 between strangers, where other
    methods leave 0.1). It takes memory for as many numbers as pairs times images.

    A batch without two images of one person, or with one person only, costs 0. Random batches hold few pairs: of 85,000
    people with 68 images each, one image in 170 finds a partner among 512; of 1,554 people with 8,395 images (median 3
    a person), 30 % do among 128 and 48 % among 512, most of them of the few people with hundreds of images. Larger
    batches, or a training set of fewer people with more images each, help, and so would batches drawn by person. As the
    mean is over triplets, a batch with one pair pulls at its images as strongly as one with many does altogether.

    Options:
        least: the margin where the teacher's gap is 0 or less.
        most: the margin at the batch's widest gap; not below ``least``.
    """

    name = "triplet-distillation-ours"
    paper = "Feng et al., Triplet Distillation for Deep Face Recognition, 2019"
    equation = (
        "mean over triplets (a, p, n) of max(0, d_s(a, p) - d_s(a, n) + least + (most - least) g / max g), "
        "g = max(0, d_t(a, n) - d_t(a, p)), d = 2 - 2 cos"
    )
    weight = 1.0
    origin = "ours: 1"
    faces = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, least: float = 0.2, most: float = 0.5
    ) -> None:
        super().__init__(student, teacher, size)
        if least > most:
            raise ModelError(f"loss {self.name}: least is {least} and most {most}: give most the larger margin")
        self.least, self.most = least, most

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection")
        same = question.labels[:, None] == question.labels
        first, second = torch.where(same & ~torch.eye(len(same), dtype=torch.bool, device=same.device))
        costs = self._margins(_gaps(target, first, second), same[first]) - _gaps(own, first, second)
        others = ~same[first]
        return costs.relu().mul(others).sum() / others.sum().clamp(min=1)

    def _margins(self, gaps: Tensor, same: Tensor) -> Tensor:
        """The margin of every triplet, from the teacher's gaps [pairs, N]; what is no triplet widens none."""
        gaps = gaps.masked_fill(same, 0).clamp(min=0)
        widest = gaps.max() if gaps.numel() else gaps.new_zeros(())
        return self.least + (self.most - self.least) * gaps / torch.where(widest > 0, widest, 1.0)


def _gaps(embeddings: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """How much further the squared distance from ``first`` to each image n is than to ``second``, [pairs, N]."""
    cos = cosines(embeddings, embeddings)
    return 2 * (cos[first, second][:, None] - cos[first])
