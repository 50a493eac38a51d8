"""Curriculum temperature: the temperature is trained against the student, increasingly so as training progresses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses.comparable import compute_dtype
from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class CTKD(Loss):
    """Curriculum temperature for knowledge distillation (Li et al., AAAI 2023), with one temperature for all images.

    The loss is that of ``kd`` at T = min_temperature + temperature_range * sigmoid(t). The student lowers it. The
    parameter t is trained with the student and raises it, because its gradient is multiplied by -lambda. lambda grows
    from 0 to 1 along half a cosine, so that the temperature does not oppose the student at first. The gradient of t
    includes every occurrence of T: the factor T^2, the teacher's distribution and the student's.

    The start t = 1 (T about 15.6), the range 1 to 21, the 10 of 240 epochs and the weights are those of the authors'
    program for CIFAR-100. There lambda grows by the epoch, here by the step. That the factor T^2 is part of what t
    raises is from memory of the same program. The paper's variant with a temperature for each image is not implemented.

    Options:
        min_temperature: the lower bound of T, above 0.
        temperature_range: the width of the range of T, above 0.
        curriculum: the share of the training over which lambda grows to 1, at most 1; 0 for 1 from the first step.
    """

    name = "ctkd"
    family = "responses"
    paper = "Li et al., Curriculum Temperature for Knowledge Distillation, AAAI 2023"
    equation = (
        "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T)), T = min_temperature + temperature_range sigmoid(t), the "
        "gradient of t times -lambda, lambda = (1 - cos(pi min(1, progress / curriculum))) / 2"
    )
    weight = 0.9
    weight_source = "the paper's program for CIFAR-100, with weight 0.1 for labels"
    label_weight = 0.1
    needs_logits = True

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        min_temperature: float = 1.0,
        temperature_range: float = 20.0,
        curriculum: float = 10 / 240,
    ) -> None:
        super().__init__(student, teacher, size)
        if min_temperature <= 0 or temperature_range <= 0:
            raise ModelError("loss ctkd: min_temperature and temperature_range must be above 0, "
                             f"not {min_temperature} and {temperature_range}")
        if curriculum > 1:
            raise ModelError(f"loss ctkd: curriculum is a share of the training, from 0 to 1, not {curriculum}")
        self.min_temperature = min_temperature
        self.temperature_range = temperature_range
        self.curriculum = curriculum
        self.t = nn.Parameter(torch.ones((), dtype=compute_dtype(student.outputs)))

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_logits, teacher_logits = check_same_classes(student.outputs, teacher.outputs)
        t = _reverse_gradient(self.t, self._lambda(context.progress))
        temperature = self.min_temperature + self.temperature_range * t.sigmoid()
        # Not `kl_divergence`, which detaches the teacher's side and with it the temperature there.
        student_log = functional.log_softmax(student_logits / temperature, dim=1)
        teacher_log = functional.log_softmax(teacher_logits / temperature, dim=1)
        divergence = functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
        return temperature.square() * divergence

    def _lambda(self, progress: float) -> float:
        """Return how strongly the temperature opposes the student, from 0 to 1."""
        share = min(1.0, progress / self.curriculum) if self.curriculum else 1.0
        return (1 - math.cos(math.pi * share)) / 2


def _reverse_gradient(value: Tensor, strength: float) -> Tensor:
    """Return the value with its gradient multiplied by minus the strength."""
    return value.detach() - strength * (value - value.detach())
