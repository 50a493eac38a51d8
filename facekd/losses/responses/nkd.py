"""Normalised distillation: the target's cross entropy, and that among the other classes once they sum to 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import demand_temperature, same_classes
from facekd.losses.responses.dkd import apart, demand_others
from facekd.types import Answer, Question, Size


@register
class NKD(Loss):
    """Normalised knowledge distillation (Yang et al., ICCV 2023).

    The cross entropy between teacher and student is cut into the true class's part, at temperature 1, and the other
    classes', whose probabilities both networks bring to sum 1 first. The second is ``dkd``'s NCKD but for the
    teacher's entropy, which has no gradient; the first is no divergence: equal answers do not cost 0, and the student's
    best probability of the true class is 1. The cross entropy on labels, which the paper adds, is not in it.

    The formula is given from knowledge of the paper, not checked against its text.

    Options:
        gamma: weight of the other classes' part.
        temperature: T of the other classes' part, above 0.
    """

    name = "nkd"
    paper = (
        "Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with "
        "Normalized Loss and Customized Soft Labels, ICCV 2023"
    )
    equation = (
        "mean_i (-p_true(t_i) log p_true(s_i) - gamma T^2 sum_c o_c(t_i / T) log o_c(s_i / T)), p = softmax, "
        "o = softmax over all classes but the true one"
    )
    origin = "gamma 1.5 stands inside the loss; the paper, beside 1 for labels"
    logits = True

    def __init__(
        self, student: Answer, teacher: Answer, size: Size, *, gamma: float = 1.5, temperature: float = 1.0
    ) -> None:
        super().__init__(student, teacher, size)
        demand_others(self.name, student, size)
        demand_temperature(self.name, temperature)
        self.gamma, self.temperature = gamma, temperature

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        labels = question.labels[:, None]
        true = -target.softmax(dim=1).gather(1, labels) * functional.log_softmax(own, dim=1).gather(1, labels)
        _, own_others = apart(own / self.temperature, question.labels)
        _, target_others = apart(target / self.temperature, question.labels)
        others = functional.cross_entropy(own_others, target_others.softmax(dim=1))
        return true.mean() + self.gamma * self.temperature**2 * others
