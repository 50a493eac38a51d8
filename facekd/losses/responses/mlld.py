"""Multi-level logit distillation, as far as it goes without a second view of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.pairwise import products
from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import same_classes
from facekd.losses.responses.kd import kl
from facekd.types import Answer, Question, Size


@register
class MLLD(Loss):
    """Multi-level logit distillation (Jin et al., CVPR 2023), without its strong augmentation; therefore ``-ours``.

    The distributions p of a batch of N images over C classes, [N, C], are compared at several temperatures and at three
    levels: every image's by ``kd``; the batch's by its matrix p p^T, which images look alike; the classes' by p^T p,
    which classes are held for each other. Squared differences of matrices are summed, and divided by N and by C.

    From the paper: the three levels and that several temperatures are used. From memory of the paper, not checked: the
    five temperatures, the division by N and C, and that the levels are added without weights of their own. The weight
    0.9 beside 0.1 for labels is the default of ``kd`` in the authors' program, whose recipes set none for this loss.

    Ours: only one view of each image, the one that all losses see. The paper adds all terms for a strongly augmented
    view, and leaves images and classes of which the teacher is sure out of those of the weak one; here all count. The
    class level is a sum over the batch, so that its share in the loss grows with N: the paper's batches are 64.

    Options:
        temperatures: five, each above 0.
    """

    name = "mlld-ours"
    paper = "Jin et al., Multi-level Logit Distillation, CVPR 2023"
    equation = (
        "sum over T of T^2 mean_i KL(p(t_i / T) || p(s_i / T)) + |S S^T - R R^T|^2 / N + |S^T S - R^T R|^2 / C, "
        "p = softmax, S = p(s / T) and R = p(t / T) [N, C]"
    )
    weight = 0.9
    origin = "kd's default in the paper's program, beside 0.1 for labels"
    labels = 0.1
    logits = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        temperatures: tuple[float, float, float, float, float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    ) -> None:
        super().__init__(student, teacher, size)
        if min(temperatures) <= 0:
            raise ModelError(f"loss mlld-ours: temperatures must be above 0, not {list(temperatures)}")
        self.temperatures = temperatures

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        return torch.stack([_levels(own, target, temperature) for temperature in self.temperatures]).sum()


def _levels(own: Tensor, target: Tensor, temperature: float) -> Tensor:
    """The three levels at one temperature."""
    instance = temperature**2 * kl(own, target, temperature).mean()
    own, target = (own / temperature).softmax(dim=1), (target / temperature).softmax(dim=1)
    return instance + _apart(own, target) + _apart(own.T, target.T)


def _apart(own: Tensor, target: Tensor) -> Tensor:
    """Squared difference of the inner products of all rows with each other, per row."""
    return (products(own) - products(target)).square().sum() / len(own)
