"""Evaluation-oriented distillation: where pairs stand among the thresholds that verification is judged at."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable, exact
from facekd.losses.faces.centres import cosines
from facekd.losses.registry import Loss, register
from facekd.types import Answer, Question, Size

ONE_IN = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""One pair of two people in so many is above a threshold: false positive rates of 1e-1 to 1e-6."""


def thresholds(negatives: Tensor) -> Tensor:
    """The similarities that 1 in 10, 100, ... 1,000,000 of all pairs reach, highest last; see ``ONE_IN``.

    A rate that is less than one pair of these has their maximum: 1e-6 would take a million pairs, 1,415 images of as
    many people, and a batch of 128 carries no rate below 1e-3.

    Args:
        negatives: float [M], M > 0, similarities of pairs of two people; no gradient passes.

    Returns:
        [6], same dtype.
    """
    places = [max(1, len(negatives) // rate) for rate in ONE_IN]
    return negatives.detach().topk(places[0]).values[[place - 1 for place in places]]


@register
class EKD(Loss):
    """Positives' and negatives' ranks among thresholds are brought to the teacher's (Huang et al., CVPR 2022).

    The rank of a pair is the sum over six thresholds of sigmoid((cos - a_k) / temperature), 0 to 6, about the number
    of thresholds it passes. The loss is ``positives`` times the mean squared difference of the ranks of all pairs of
    one person, plus ``negatives`` times that of the ``hardest`` pairs of two people, chosen by the student's cosine.
    Student and teacher have thresholds of their own, moving means of those of the batches (``thresholds``).

    Formula and numbers are those of the authors' program. Ours: the thresholds are those from before the batch, so that
    the batch does not move its own target; the very first batch measures both networks by the teacher's. They move
    while the loss is trained with; after a change of teachers they need some hundred batches to come over.

    A batch without two images of one person has no term of positives, and one without two people costs 0. The authors
    draw half of every batch by person; in a random batch pairs of one person are few (see triplet-distillation-ours).

    Options:
        positives: weight of the pairs of one person.
        negatives: weight of the pairs of two people.
        temperature: of the sigmoid, above 0.
        hardest: how many pairs of two people are looked at.
        momentum: the share of a batch in the moving means, at most 1.
    """

    name = "ekd"
    paper = "Huang et al., Evaluation-oriented Knowledge Distillation for Deep Face Recognition, CVPR 2022"
    equation = (
        "positives mean (R_s - R_t)^2 over pairs of one person + negatives mean (R_s - R_t)^2 over the hardest others, "
        "R = sum_k sigmoid((cos - a_k) / temperature), a_k a moving mean of the negatives' quantile at FPR 10^-k"
    )
    weight = 1.0
    origin = "1: its own options 0.02 and 0.01, from the authors' program, hold the weights"
    faces = True
    remembers = True
    student_thresholds: Tensor
    teacher_thresholds: Tensor
    begun: Tensor

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, positives: float = 0.02, negatives: float = 0.01,
        temperature: float = 0.01, hardest: int = 2000, momentum: float = 0.01,
    ) -> None:
        super().__init__(student, teacher, size)
        if not (positives + negatives and temperature and hardest and momentum <= 1):
            raise ModelError(f"loss {self.name}: positives or negatives, temperature and hardest must be above 0 and "
                             f"momentum at most 1, not {positives}, {negatives}, {temperature}, {hardest}, {momentum}")
        self.positives, self.negatives = positives, negatives
        self.temperature, self.hardest, self.momentum = temperature, hardest, momentum
        dtype = exact(student.outputs)
        self.register_buffer("student_thresholds", torch.zeros(len(ONE_IN), dtype=dtype))
        self.register_buffer("teacher_thresholds", torch.zeros(len(ONE_IN), dtype=dtype))
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = comparable(student.outputs, teacher.outputs, "embeddings", "give the student a projection")
        one, other = torch.triu_indices(len(own), len(own), 1, device=own.device)
        same = question.labels[one] == question.labels[other]
        own, target = cosines(own, own)[one, other], cosines(target, target)[one, other]
        if bool(same.all()):
            return own.sum() * 0  # no pair of two people, so no threshold; the graph remains
        batch = thresholds(own[~same]), thresholds(target[~same])
        levels = (self.student_thresholds, self.teacher_thresholds) if self.begun else (batch[1], batch[1])
        own_hard, place = own[~same].topk(min(self.hardest, int((~same).sum())))
        loss = self.positives * self._gap(own[same], target[same], levels)
        loss = loss + self.negatives * self._gap(own_hard, target[~same][place], levels)
        if self.training and torch.is_grad_enabled():
            self._remember(*batch)
        return loss

    def _gap(self, own: Tensor, target: Tensor, levels: tuple[Tensor, Tensor]) -> Tensor:
        """Mean squared difference of two sets of ranks; 0 for no pairs."""
        gap = self._ranks(own, levels[0]) - self._ranks(target, levels[1])
        return gap.square().sum() / max(len(gap), 1)

    def _ranks(self, cos: Tensor, levels: Tensor) -> Tensor:
        return ((cos[:, None] - levels.to(cos.dtype)) / self.temperature).sigmoid().sum(dim=1)

    @torch.no_grad()
    def _remember(self, student: Tensor, teacher: Tensor) -> None:
        """Move the thresholds a share of the way to those of a batch; the first batch's are taken as they are."""
        share = self.momentum if self.begun else 1.0
        self.student_thresholds.lerp_(student.to(self.student_thresholds.dtype), share)
        self.teacher_thresholds.lerp_(teacher.to(self.teacher_thresholds.dtype), share)
        self.begun.fill_(True)
