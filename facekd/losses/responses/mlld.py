"""Multi-level logit distillation without its second, strongly augmented view of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.pairwise import gram_matrix
from facekd.losses.registry import Loss, register_loss
from facekd.losses.responses.classes import check_same_classes
from facekd.losses.responses.kd import kl_divergence
from facekd.types import BatchContext, DatasetSize, ModelOutput


@register_loss
class MLLD(Loss):
    """Multi-level logit distillation (Jin et al., CVPR 2023), without its strong augmentation; therefore ``-ours``.

    The distributions p of a batch of N images over C classes, [N, C], are compared at several temperatures and at three
    levels. Instances: each image's distribution, by ``kd``. Batch: the matrix p p^T, which shows what images are
    similar. Classes: the matrix p^T p, which shows what classes are confused. Squared differences of matrices are
    summed, and divided by N and by C.

    From the paper: the three levels and the use of several temperatures. From memory of the paper, not checked: the
    five temperatures, the division by N and C, and that the levels are added without weights of their own. The weight
    0.9 with weight 0.1 for labels is the default of ``kd`` in the authors' program, whose recipes set none for this
    loss.

    Ours: only one view of each image, which all losses share. The paper adds all terms for a strongly augmented view,
    and leaves images and classes of which the teacher is certain out of those of the weak one; here all count. The
    class level is a sum over the batch, so that its share in the loss grows with N: the paper's batches are 64.

    Options:
        temperatures: five temperatures, each above 0.
    """

    name = "mlld-ours"
    family = "responses"
    paper = "Jin et al., Multi-level Logit Distillation, CVPR 2023"
    equation = (
        "sum over T of T^2 mean_i KL(p(t_i / T) || p(s_i / T)) + |S S^T - R R^T|^2 / N + |S^T S - R^T R|^2 / C, "
        "p = softmax, S = p(s / T) and R = p(t / T) [N, C]"
    )
    weight = 0.9
    weight_source = "kd's default in the paper's program, with weight 0.1 for labels"
    label_weight = 0.1
    needs_logits = True

    def __init__(
        self,
        student: ModelOutput,
        teacher: ModelOutput,
        size: DatasetSize,
        *,
        temperatures: tuple[float, float, float, float, float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    ) -> None:
        super().__init__(student, teacher, size)
        if min(temperatures) <= 0:
            raise ModelError(f"loss mlld-ours: temperatures must be above 0, not {list(temperatures)}")
        self.temperatures = temperatures

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        """See `Loss.forward`."""
        logits = check_same_classes(student.outputs, teacher.outputs)
        return torch.stack([_three_levels(*logits, temperature) for temperature in self.temperatures]).sum()


def _three_levels(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the sum of the three levels at one temperature, from logits."""
    instance = temperature**2 * kl_divergence(student, teacher, temperature).mean()
    student_p = (student / temperature).softmax(dim=1)
    teacher_p = (teacher / temperature).softmax(dim=1)
    return instance + _gram_distance(student_p, teacher_p) + _gram_distance(student_p.T, teacher_p.T)


def _gram_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared difference of both Gram matrices, summed and divided by the number of rows."""
    return (gram_matrix(student) - gram_matrix(teacher)).square().sum() / len(student)
