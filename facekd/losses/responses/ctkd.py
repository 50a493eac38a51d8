"""Curriculum temperature: the student's temperature is learned against it, more so as training goes on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import exact
from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import same_classes
from facekd.types import Answer, Question, Size


@register
class CTKD(Loss):
    """Curriculum temperature for knowledge distillation (Li et al., AAAI 2023), with one temperature for all images.

    The loss is that of ``kd`` at T = least + span * sigmoid(t). The student lowers it; t, which is learned with the
    student, raises it, because its gradient is multiplied with -lambda. lambda grows from 0 to 1 along half a cosine,
    so that the temperature is no opponent at first. The gradient of t counts T wherever it stands: in the factor T^2,
    and in the teacher's distribution as in the student's.

    That t begins at 1 (T about 15.6), the range 1 to 21, the 10 of 240 epochs and the weights are those of the
    authors' program for CIFAR-100. There lambda grows by the epoch, here by the step. The factor T^2 being part of
    what t raises is from memory of the same program. The paper's temperature for each image is left out.

    Options:
        least: what T stays above; itself above 0.
        span: how far above ``least`` T can go, above 0.
        curriculum: share of the training over which lambda grows to 1, at most 1; 0 for 1 from the first step.
    """

    name = "ctkd"
    paper = "Li et al., Curriculum Temperature for Knowledge Distillation, AAAI 2023"
    equation = (
        "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T)), T = least + span sigmoid(t), the gradient of t times "
        "-lambda, lambda = (1 - cos(pi min(1, done / curriculum))) / 2"
    )
    weight = 0.9
    origin = "the paper's program for CIFAR-100, beside 0.1 for labels"
    labels = 0.1
    logits = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        least: float = 1.0,
        span: float = 20.0,
        curriculum: float = 10 / 240,
    ) -> None:
        super().__init__(student, teacher, size)
        if least <= 0 or span <= 0:
            raise ModelError(f"loss ctkd: least and span must be above 0, not {least} and {span}")
        if curriculum > 1:
            raise ModelError(f"loss ctkd: curriculum is a share of the training, from 0 to 1, not {curriculum}")
        self.least, self.span, self.curriculum = least, span, curriculum
        self.t = nn.Parameter(torch.ones((), dtype=exact(student.outputs)))

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        t = _reversed(self.t, self._lambda(question.done))
        temperature = self.least + self.span * t.sigmoid()
        # Not `kd.kl`, which cuts its teacher from the graph, and with it the temperature there.
        own, target = (functional.log_softmax(z / temperature, dim=1) for z in (own, target))
        return temperature.square() * functional.kl_div(own, target, reduction="batchmean", log_target=True)

    def _lambda(self, done: float) -> float:
        """How strongly the temperature opposes the student, from 0 to 1."""
        share = min(1.0, done / self.curriculum) if self.curriculum else 1.0
        return (1 - math.cos(math.pi * share)) / 2


def _reversed(value: Tensor, strength: float) -> Tensor:
    """The value itself, whose gradient is multiplied with minus the strength."""
    return value.detach() - strength * (value - value.detach())
