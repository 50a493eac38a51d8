"""DIST: the student's probabilities correlate with the teacher's, over the classes and over the batch."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes, check_temperature
from facekd.types import BatchContext, DatasetSize, ModelOutput
from facekd.utils.functional import l2_normalize

MIN_SUM = 1e-30
"""The lower bound of the sum that divides a row of probabilities; a column may underflow to zeros."""


@register_loss
class DIST(Loss):
    """Distillation from a stronger teacher (Huang et al., NeurIPS 2022).

    The probabilities need not be equal, only correlated: those of each image over the classes, and those of each class
    over the batch. So neither scale nor offset of a row or a column of probabilities matters.

    Temperature 1 is the paper's for ImageNet and 4 for CIFAR. The factor T^2 is that of ``kd``. It is taken from
    knowledge of the authors' program, not checked; a reading without it is this loss at weight 1 / T^2. At T = 1 the
    two are equal.

    1 - r is computed as half the squared distance of the centered rows at unit length, which is equal and does not
    lose its digits near 0. A row or column that does not vary has no correlation; its length stays 0, and it costs 1/2
    against one that varies and nothing against another one that does not: the classes over a batch of one image cost
    nothing.

    Options:
        beta: the weight of the correlations over the classes.
        gamma: the weight of the correlations over the batch.
        temperature: T, above 0.
    """

    name = "dist"
    family = "responses"
    paper = "Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022"
    equation = (
        "T^2 (beta mean_i (1 - r(p(s_i / T), p(t_i / T))) + gamma mean_c (1 - r of class c's p over the batch)), "
        "p = softmax, r = Pearson's correlation"
    )
    weight_source = "the loss has its own weights beta 2 and gamma 2; the paper, with weight 1 for labels"
    needs_logits = True

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        beta: float = 2.0,
        gamma: float = 2.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(student, teacher, size)
        check_temperature(self.name, temperature)
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_logits, teacher_logits = check_same_classes(student.outputs, teacher.outputs)
        student_p = (student_logits / self.temperature).softmax(dim=1)
        teacher_p = (teacher_logits / self.temperature).softmax(dim=1)
        over_classes = _correlation_distance(student_p, teacher_p).mean()
        over_batch = _correlation_distance(student_p.T, teacher_p.T).mean()
        return self.temperature**2 * (self.beta * over_classes + self.gamma * over_batch)


def _correlation_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - Pearson's correlation of each row of one matrix with the same row of another, [rows]."""
    return (l2_normalize(_center(first)) - l2_normalize(_center(second))).square().sum(dim=1) / 2


def _center(rows: Tensor) -> Tensor:
    """Subtract the means from rows of probabilities, at a common scale.

    A correlation does not depend on the scale. The scale makes `l2_normalize` find the direction of a class of tiny
    probabilities, and none in the rounding errors of a constant row.
    """
    shares = rows / rows.detach().sum(dim=1, keepdim=True).clamp_min(MIN_SUM)
    return shares - shares.mean(dim=1, keepdim=True)
