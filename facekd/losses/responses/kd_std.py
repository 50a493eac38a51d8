"""Distillation of standardised logits: the student is free in the mean and the spread of each image's logits."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import demand_temperature, same_classes
from facekd.losses.responses.kd import kl
from facekd.types import Answer, Question, Size

TINY = 1e-5
"""Added to the variance, as in a layer norm: logits that are all equal, as of a head of zeros, keep finite slopes."""


@register
class KDStd(Loss):
    """Knowledge distillation with logit standardisation (Sun et al., CVPR 2024).

    Each image's logits lose their mean and are divided by their standard deviation (over the classes, divided by their
    number and not by one less) before ``kd``, so that the temperature is the image's own: its spread times T. Only
    the order and the proportions of the teacher's logits are asked for. ``TINY`` is ours, and shows only in logits
    that spread less than about 0.1.

    Options:
        temperature: the base temperature T, above 0.
    """

    name = "kd-std"
    paper = "Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024"
    equation = "T^2 mean_i KL(softmax(z(t_i) / T) || softmax(z(s_i) / T)), z(x) = (x - mean x) / std x over the classes"
    weight = 9.0
    origin = "the paper for CIFAR-100, beside 0.1 for labels"
    labels = 0.1
    logits = True

    def __init__(self, student: Answer, teacher: Answer, size: Size, *, temperature: float = 2.0) -> None:
        super().__init__(student, teacher, size)
        demand_temperature(self.name, temperature)
        self.temperature = temperature

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        return self.temperature**2 * kl(_standard(own), _standard(target), self.temperature).mean()


def _standard(logits: Tensor) -> Tensor:
    """Every row at mean 0 and standard deviation 1."""
    return functional.layer_norm(logits, logits.shape[1:], eps=TINY)
