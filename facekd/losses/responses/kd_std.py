"""Distillation of standardized logits: mean and spread of each image's logits do not count."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes, check_temperature
from facekd.losses.responses.kd import kl_divergence
from facekd.types import BatchContext, DatasetSize, ModelOutput

EPSILON = 1e-5
"""Added to the variance, as in a layer norm, so that gradients are finite where all logits of an image are equal."""


@register_loss
class KDStd(Loss):
    """Knowledge distillation with logit standardization (Sun et al., CVPR 2024).

    Before ``kd``, the mean of each image's logits is subtracted and the result is divided by their standard deviation
    (over the classes, with their number as the divisor, not one less). The temperature thus adapts to the image: it is
    the spread of its logits times T. Only the order and the proportions of the teacher's logits count. ``EPSILON`` is
    ours, and matters only for logits that spread less than about 0.1.

    Options:
        temperature: the base temperature T, above 0.
    """

    name = "kd-std"
    family = "responses"
    paper = "Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024"
    equation = "T^2 mean_i KL(softmax(z(t_i) / T) || softmax(z(s_i) / T)), z(x) = (x - mean x) / std x over the classes"
    weight = 9.0
    weight_source = "the paper for CIFAR-100, with weight 0.1 for labels"
    label_weight = 0.1
    needs_logits = True

    def __init__(
        self, student: ModelOutput, teacher: ModelOutput, size: DatasetSize, *, temperature: float = 2.0
    ) -> None:
        super().__init__(student, teacher, size)
        check_temperature(self.name, temperature)
        self.temperature = temperature

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        student_logits, teacher_logits = check_same_classes(student.outputs, teacher.outputs)
        divergence = kl_divergence(_standardize(student_logits), _standardize(teacher_logits), self.temperature)
        return self.temperature**2 * divergence.mean()


def _standardize(logits: Tensor) -> Tensor:
    """Scale and shift every row to mean 0 and standard deviation 1."""
    return functional.layer_norm(logits, logits.shape[1:], eps=EPSILON)
