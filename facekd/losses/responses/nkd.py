"""Normalized distillation: the cross entropy of the true class, plus that of the other classes, normalized to sum 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes, check_temperature
from facekd.losses.responses.dkd import check_other_classes, split_true_class
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class NKD(Loss):
    """Normalized knowledge distillation (Yang et al., ICCV 2023).

    The cross entropy between teacher and student is split into the part of the true class, at temperature 1, and the
    part of the other classes, whose probabilities are first normalized to sum 1 in both networks. The second part
    equals NCKD of ``dkd`` up to the teacher's entropy, which has no gradient. The first part is not a divergence: equal
    outputs do not cost 0, and the student's optimal probability of the true class is 1. The cross entropy on labels,
    which the paper adds, is not included.

    The formula is given from knowledge of the paper, not checked against its text.

    Options:
        gamma: the weight of the part of the other classes.
        temperature: T of the part of the other classes, above 0.
    """

    name = "nkd"
    family = "responses"
    paper = (
        "Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with "
        "Normalized Loss and Customized Soft Labels, ICCV 2023"
    )
    equation = (
        "mean_i (-p_true(t_i) log p_true(s_i) - gamma T^2 sum_c o_c(t_i / T) log o_c(s_i / T)), p = softmax, "
        "o = softmax over all classes but the true one"
    )
    weight_source = "the loss has its own weight gamma 1.5; the paper, with weight 1 for labels"
    uses_labels = True
    needs_logits = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, gamma: float = 1.5,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, size)
        check_other_classes(self.name, student, size)
        check_temperature(self.name, temperature)
        self.gamma = gamma
        self.temperature = temperature

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_logits, teacher_logits = check_same_classes(student.outputs, teacher.outputs)
        labels = context.labels[:, None]
        teacher_true = teacher_logits.softmax(dim=1).gather(1, labels)
        true = -teacher_true * functional.log_softmax(student_logits, dim=1).gather(1, labels)
        _, student_others = split_true_class(student_logits / self.temperature, context.labels)
        _, teacher_others = split_true_class(teacher_logits / self.temperature, context.labels)
        others = functional.cross_entropy(student_others, teacher_others.softmax(dim=1))
        return true.mean() + self.gamma * self.temperature**2 * others
