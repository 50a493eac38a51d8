"""Decoupled distillation: separate weights for the true class against the rest, and for the rest among themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes, check_temperature
from facekd.losses.responses.kd import kl_divergence
from facekd.types import BatchContext, DatasetSize, ModelOutput


def split_true_class(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Split logits into that of every image's true class and those of the other classes, in their order.

    Args:
        logits: float [N, classes].
        labels: the true classes, int64 [N], on the same device.

    Returns:
        [N, 1] and [N, classes - 1].
    """
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    columns = columns + (columns >= labels[:, None]).long()  # skips the true class
    return logits.gather(1, labels[:, None]), logits.gather(1, columns)


def check_other_classes(name: str, sample: ModelOutput, size: DatasetSize) -> None:
    """Raise a ModelError unless every true class has a logit, and there are at least two classes."""
    count = sample.outputs.shape[1]
    if count < max(2, size.classes):
        raise ModelError(f"loss {name}: {count} logits for {size.classes} classes: it needs one a class, at least 2")


@register_loss
class DKD(Loss):
    """Decoupled knowledge distillation (Zhao et al., CVPR 2022, equation 7).

    The divergence of ``kd`` has two parts: that of the two-class distribution of the true class and the rest (TCKD),
    and that of the distribution over all classes but the true one (NCKD). ``kd`` weights NCKD by the teacher's
    1 - p_true; here the weight is ``beta`` for every image. Both have the factor T^2, as in ``kd``.

    The authors set ``beta`` by pair of networks on CIFAR-100: 8 for resnet32x4 and resnet8x4 and by default, 2 for
    resnet56 and resnet20, 6 for wide resnets and VGG13 with MobileNetV2; on ImageNet beta 0.5, T 1. They raise the
    whole loss linearly over the first 20 of 240 epochs, by the epoch; here it rises by the step, from 0 at the first.

    Options:
        alpha: the weight of TCKD.
        beta: the weight of NCKD.
        temperature: T, above 0.
        warmup: the share of the training over which the loss rises to its full weight, at most 1; 0 for none.
    """

    name = "dkd"
    family = "responses"
    paper = "Zhao et al., Decoupled Knowledge Distillation, CVPR 2022"
    equation = (
        "min(1, progress / warmup) T^2 mean_i (alpha KL(b(t_i / T) || b(s_i / T)) + beta KL(o(t_i / T) || o(s_i / T)))"
        ", b = (p_true, 1 - p_true) of the softmax, o = softmax over all classes but the true one"
    )
    weight_source = "the loss has its own weights alpha 1 and beta 8; the paper for CIFAR-100, with weight 1 for labels"
    uses_labels = True
    needs_logits = True

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warmup: float = 1 / 12,
    ) -> None:
        super().__init__(student, teacher, size)
        check_other_classes(self.name, student, size)
        check_temperature(self.name, temperature)
        if warmup > 1:
            raise ModelError(f"loss dkd: warmup is a share of the training, from 0 to 1, not {warmup}")
        self.alpha = alpha
        self.beta = beta
        self.temperature = temperature
        self.warmup = warmup

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_logits, teacher_logits = check_same_classes(student.outputs, teacher.outputs)
        student_true, student_others = split_true_class(student_logits / self.temperature, context.labels)
        teacher_true, teacher_others = split_true_class(teacher_logits / self.temperature, context.labels)
        student_two = _two_class_logits(student_true, student_others)
        teacher_two = _two_class_logits(teacher_true, teacher_others)
        tckd = kl_divergence(student_two, teacher_two)
        nckd = kl_divergence(student_others, teacher_others)
        share = min(1.0, context.progress / self.warmup) if self.warmup else 1.0
        return share * self.temperature**2 * (self.alpha * tckd.mean() + self.beta * nckd.mean())


def _two_class_logits(true: Tensor, others: Tensor) -> Tensor:
    """Return logits [N, 2] of the true class and of the rest, whose probabilities add up in log space."""
    return torch.cat([true, others.logsumexp(dim=1, keepdim=True)], dim=1)
