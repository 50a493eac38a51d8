"""Decoupled distillation: the true class against all others, and the others among themselves, weighed apart."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import demand_temperature, same_classes
from facekd.losses.responses.kd import kl
from facekd.types import Answer, Question, Size


def apart(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The logit of every image's true class, and those of the other classes in their order.

    Args:
        logits: float [N, classes].
        labels: int64 [N], on the same device.

    Returns:
        [N, 1] and [N, classes - 1].
    """
    columns = torch.arange(logits.shape[1] - 1, device=logits.device)
    columns = columns + (columns >= labels[:, None]).long()
    return logits.gather(1, labels[:, None]), logits.gather(1, columns)


def demand_others(name: str, sample: Answer, size: Size) -> None:
    """Raise a ModelError unless every true class has a logit, and another one beside it."""
    count = sample.outputs.shape[1]
    if count < max(2, size.classes):
        raise ModelError(f"loss {name}: {count} logits for {size.classes} classes: it needs one a class, at least 2")


@register
class DKD(Loss):
    """Decoupled knowledge distillation (Zhao et al., CVPR 2022, equation 7).

    The divergence of ``kd`` is cut in two: that of the two-class distribution true class against the rest (TCKD), and
    that of the distribution over the classes but the true one (NCKD). ``kd`` weighs NCKD by the teacher's 1 - p_true;
    here the weight is ``beta`` for every image. Both carry T^2, as in ``kd``.

    The authors set ``beta`` by pair of networks on CIFAR-100: 8 for resnet32x4 and resnet8x4 and by default, 2 for
    resnet56 and resnet20, 6 for wide resnets and VGG13 with MobileNetV2; on ImageNet beta 0.5, T 1. They raise the
    whole loss linearly over the first 20 of 240 epochs, by the epoch; here it rises by the step, from 0 at the first.

    Options:
        alpha: weight of TCKD.
        beta: weight of NCKD.
        temperature: T, above 0.
        warmup: share of the training over which the loss rises to its full weight, at most 1; 0 for none.
    """

    name = "dkd"
    paper = "Zhao et al., Decoupled Knowledge Distillation, CVPR 2022"
    equation = (
        "min(1, done / warmup) T^2 mean_i (alpha KL(b(t_i / T) || b(s_i / T)) + beta KL(o(t_i / T) || o(s_i / T))), "
        "b = (p_true, 1 - p_true) of the softmax, o = softmax over all classes but the true one"
    )
    origin = "alpha 1 and beta 8 stand inside the loss; the paper for CIFAR-100, beside 1 for labels"
    logits = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
        warmup: float = 1 / 12,
    ) -> None:
        super().__init__(student, teacher, size)
        demand_others(self.name, student, size)
        demand_temperature(self.name, temperature)
        if warmup > 1:
            raise ModelError(f"loss dkd: warmup is a share of the training, from 0 to 1, not {warmup}")
        self.alpha, self.beta, self.temperature, self.warmup = alpha, beta, temperature, warmup

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        own_true, own_others = apart(own / self.temperature, question.labels)
        target_true, target_others = apart(target / self.temperature, question.labels)
        tckd = kl(_against(own_true, own_others), _against(target_true, target_others)).mean()
        nckd = kl(own_others, target_others).mean()
        share = min(1.0, question.done / self.warmup) if self.warmup else 1.0
        return share * self.temperature**2 * (self.alpha * tckd + self.beta * nckd)


def _against(true: Tensor, others: Tensor) -> Tensor:
    """Logits [N, 2] of true class and rest: those of the rest add up in their exponentials."""
    return torch.cat([true, others.logsumexp(dim=1, keepdim=True)], dim=1)
