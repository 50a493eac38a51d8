"""Distillation of logits: the student's softened distribution over the classes is brought to the teacher's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import demand_temperature, same_classes
from facekd.types import Answer, Question, Size


def kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(softmax(t / T) || softmax(s / T)) of every image, in nats, without the factor T^2.

    The values are not averaged, so that a mean over a set does not depend on how it was cut into batches: the
    congruence of Route Constrained Optimization is such a mean over held-out images.

    Args:
        student: logits [N, classes], any float dtype.
        teacher: logits [N, classes], any float dtype; receives no gradient.
        temperature: T, above 0.

    Returns:
        [N] in float32, or in float64 where an input is; finite for finite logits, also where a probability is
        too small for the dtype.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = same_classes(student, teacher)
    # Both sides as logarithms: the logarithm of an underflown probability would be -inf, and 0 * -inf is no number.
    own = functional.log_softmax(student / temperature, dim=1)
    target = functional.log_softmax(teacher / temperature, dim=1)
    return functional.kl_div(own, target, reduction="none", log_target=True).sum(dim=1)


@register
class KD(Loss):
    """Knowledge distillation: the batch mean of T^2 ``kl`` (Hinton et al. 2015, section 2).

    T^2 keeps the gradient's size independent of T. The benchmark of CRD (Tian et al., ICLR 2020) has T = 4 and weighs
    it 0.9, with 0.1 for the cross entropy on labels.
    """

    name = "kd"
    paper = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015"
    equation = "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))"
    weight = 0.9
    origin = "benchmark of CRD (Tian et al., ICLR 2020), beside 0.1 for labels"
    labels = 0.1
    logits = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, temperature: float = 4.0) -> None:
        super().__init__(student, teacher, size)
        demand_temperature(self.name, temperature)
        self.temperature = temperature

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        return self.temperature**2 * kl(student.outputs, teacher.outputs, self.temperature).mean()
