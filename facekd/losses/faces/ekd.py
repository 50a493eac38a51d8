"""Evaluation-oriented distillation: the ranks of pairs among the thresholds at which verification is evaluated."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.heads.margin_head import cosine_matrix
from facekd.losses.comparable import check_comparable, compute_dtype
from facekd.losses.registry import Loss, register_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

ONE_IN = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""The inverse of the false positive rates 1e-1 to 1e-6: one in so many impostor pairs is above the threshold."""


def thresholds(negatives: Tensor) -> Tensor:
    """Return the similarities that 1 in 10, 100, ... 1,000,000 of impostor pairs reach, highest last; see ``ONE_IN``.

    A rate below one of the given pairs has their maximum: 1e-6 would take a million pairs, 1,415 images of as many
    identities, and a batch of 128 has no rate below 1e-3.

    Args:
        negatives: the similarities of impostor pairs, float [M], M > 0; receive no gradient.

    Returns:
        [6], same dtype.
    """
    ranks = [max(1, len(negatives) // one_in) for one_in in ONE_IN]
    return negatives.detach().topk(ranks[0]).values[[rank - 1 for rank in ranks]]


@register_loss
class EKD(Loss):
    """Ranks of genuine and impostor pairs among thresholds approach the teacher's (Huang et al., CVPR 2022).

    The rank of a pair is the sum over six thresholds of sigmoid((cos - a_k) / temperature), 0 to 6, about the number
    of thresholds that it exceeds. The loss is ``positive_weight`` times the mean squared difference of the ranks of all
    pairs of one identity, plus ``negative_weight`` times that of the hardest pairs of two identities, chosen by the
    student's cosine. Student and teacher have separate thresholds, running means of those of the batches
    (``thresholds``).

    Formula and numbers are those of the authors' program. Ours: the thresholds are those from before the batch, so that
    the batch does not move its own target; the very first batch measures both networks by the teacher's. They move in
    training; after a change of teachers they need some hundred batches to adapt.

    A batch without two images of one identity has no term of positives, and one without two identities costs 0. The
    authors draw half of every batch by identity; in a random batch pairs of one identity are few (see
    triplet-distillation-ours).

    Options:
        positive_weight: the weight of the pairs of one identity.
        negative_weight: the weight of the pairs of two identities.
        temperature: the temperature of the sigmoid, above 0.
        hard_negatives: the number of pairs of two identities that count.
        momentum: the share of a batch in the running means, at most 1.
    """

    name = "ekd"
    family = "faces"
    paper = "Huang et al., Evaluation-oriented Knowledge Distillation for Deep Face Recognition, CVPR 2022"
    equation = (
        "positive_weight mean (R_s - R_t)^2 over pairs of one identity + negative_weight mean (R_s - R_t)^2 over the "
        "hardest others, R = sum_k sigmoid((cos - a_k) / temperature), a_k a running mean of the negatives' quantile "
        "at FPR 10^-k"
    )
    weight = 1.0
    weight_source = "1: its own options 0.02 and 0.01, from the authors' program, are the weights"
    uses_labels = True
    needs_embeddings = True
    has_memory = True
    student_thresholds: Tensor
    teacher_thresholds: Tensor
    initialized: Tensor

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, positive_weight: float = 0.02,
        negative_weight: float = 0.01, temperature: float = 0.01, hard_negatives: int = 2000, momentum: float = 0.01,
    ) -> None:
        super().__init__(student, teacher, size)
        if not (positive_weight + negative_weight and temperature and hard_negatives and momentum <= 1):
            raise ModelError(
                f"loss {self.name}: positive_weight or negative_weight, temperature and hard_negatives must be above 0 "
                f"and momentum at most 1, not {positive_weight}, {negative_weight}, {temperature}, {hard_negatives}, "
                f"{momentum}"
            )
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight
        self.temperature = temperature
        self.hard_negatives = hard_negatives
        self.momentum = momentum
        dtype = compute_dtype(student.outputs)
        self.register_buffer("student_thresholds", torch.zeros(len(ONE_IN), dtype=dtype))
        self.register_buffer("teacher_thresholds", torch.zeros(len(ONE_IN), dtype=dtype))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        embeddings, target = check_comparable(student.outputs, teacher.outputs, "embeddings",
                                              "give the student a projection")
        rows, columns = torch.triu_indices(len(embeddings), len(embeddings), 1, device=embeddings.device)
        same = context.labels[rows] == context.labels[columns]
        student_cos = cosine_matrix(embeddings, embeddings)[rows, columns]
        teacher_cos = cosine_matrix(target, target)[rows, columns]
        if bool(same.all()):
            return student_cos.sum() * 0  # no impostor pair, hence no threshold; the result stays in the graph
        student_batch = thresholds(student_cos[~same])
        teacher_batch = thresholds(teacher_cos[~same])
        if self.initialized:
            levels = (self.student_thresholds, self.teacher_thresholds)
        else:
            levels = (teacher_batch, teacher_batch)
        hard_cos, hard = student_cos[~same].topk(min(self.hard_negatives, int((~same).sum())))
        loss = self.positive_weight * self._rank_difference(student_cos[same], teacher_cos[same], levels)
        loss = loss + self.negative_weight * self._rank_difference(hard_cos, teacher_cos[~same][hard], levels)
        if self.training and torch.is_grad_enabled():
            self._update_thresholds(student_batch, teacher_batch)
        return loss

    def _rank_difference(self, student: Tensor, teacher: Tensor, levels: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean squared difference of both networks' ranks of the same pairs; 0 for no pairs."""
        difference = self._ranks(student, levels[0]) - self._ranks(teacher, levels[1])
        return difference.square().sum() / max(len(difference), 1)

    def _ranks(self, cos: Tensor, levels: Tensor) -> Tensor:
        return ((cos[:, None] - levels.to(cos.dtype)) / self.temperature).sigmoid().sum(dim=1)

    @torch.no_grad()
    def _update_thresholds(self, student: Tensor, teacher: Tensor) -> None:
        """Update the running means with the thresholds of a batch; the first batch's become the start values."""
        share = self.momentum if self.initialized else 1.0
        self.student_thresholds.lerp_(student.to(self.student_thresholds.dtype), share)
        self.teacher_thresholds.lerp_(teacher.to(self.teacher_thresholds.dtype), share)
        self.initialized.fill_(True)
