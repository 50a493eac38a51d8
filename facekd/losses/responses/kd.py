"""Distillation of logits: the student's softened distribution over the classes approaches the teacher's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes, check_temperature
from facekd.types import BatchContext, DatasetSize, ModelOutput


def kl_divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(softmax(t / T) || softmax(s / T)) of every image, in nats, without the factor T^2.

    The values are not averaged, so that a mean over a set does not depend on its division into batches: the congruence
    of Route Constrained Optimization is such a mean over held-out images.

    Args:
        student: logits [N, classes], any float dtype.
        teacher: logits [N, classes], any float dtype; receives no gradient.
        temperature: T, above 0.

    Returns:
        [N] in float32, or in float64 where an input is; finite for finite logits, even where a probability underflows.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = check_same_classes(student, teacher)
    # Both sides as logarithms: the logarithm of an underflown probability would be -inf, and 0 * -inf is NaN.
    student_log = functional.log_softmax(student / temperature, dim=1)
    teacher_log = functional.log_softmax(teacher / temperature, dim=1)
    return functional.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(dim=1)


@register_loss
class KD(Loss):
    """Knowledge distillation: the batch mean of T^2 ``kl_divergence`` (Hinton et al. 2015, section 2).

    T^2 keeps the size of the gradient independent of T. The benchmark of CRD (Tian et al., ICLR 2020) has T = 4 and
    weight 0.9, with weight 0.1 for the cross entropy on labels.

    Options:
        temperature: T, above 0.
    """

    name = "kd"
    family = "responses"
    paper = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015"
    equation = "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))"
    weight = 0.9
    weight_source = "benchmark of CRD (Tian et al., ICLR 2020), with weight 0.1 for labels"
    label_weight = 0.1
    needs_logits = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, temperature: float = 4.0
    ) -> None:
        super().__init__(student, teacher, size)
        check_temperature(self.name, temperature)
        self.temperature = temperature

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        return self.temperature**2 * kl_divergence(student.outputs, teacher.outputs, self.temperature).mean()
