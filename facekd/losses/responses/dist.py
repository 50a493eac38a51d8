"""Relations of probabilities: they correlate with the teacher's over the classes and over the batch."""

from __future__ import annotations

from torch import Tensor

from facekd.losses.registry import Loss, register
from facekd.losses.responses.classes import demand_temperature, same_classes
from facekd.types import Answer, Question, Size
from facekd.utils.functional import unit


@register
class DIST(Loss):
    """Distillation from a stronger teacher (Huang et al., NeurIPS 2022).

    Instead of equal probabilities it asks for correlated ones: each image's over the classes, each class's over the
    batch. So neither scale nor offset of a row or a column of probabilities matters.

    Temperature 1 is the paper's for ImageNet and 4 for CIFAR. The factor T^2 is that of ``kd``. It is taken from
    knowledge of the authors' program, not checked; a reading without it is this loss at weight 1 / T^2. At T = 1 the
    two are one.

    1 - r is computed as half the squared distance of the centred rows at unit length, which is the same and does not
    lose its digits near 0. A row or column that does not vary has no correlation; it is left at length 0, and costs
    1/2 against one that varies and nothing against another such: the classes over a batch of one image cost nothing.

    Options:
        beta: weight of the correlations over the classes.
        gamma: weight of the correlations over the batch.
        temperature: T, above 0.
    """

    name = "dist"
    paper = "Huang et al., Knowledge Distillation from A Stronger Teacher, NeurIPS 2022"
    equation = (
        "T^2 (beta mean_i (1 - r(p(s_i / T), p(t_i / T))) + gamma mean_c (1 - r of class c's p over the batch)), "
        "p = softmax, r = Pearson's correlation"
    )
    origin = "beta 2 and gamma 2 stand inside the loss; the paper, beside 1 for labels"
    logits = True

    def __init__(
        self,
        student: Answer,
        teacher: Answer,
        size: Size,
        *,
        beta: float = 2.0,
        gamma: float = 2.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(student, teacher, size)
        demand_temperature(self.name, temperature)
        self.beta, self.gamma, self.temperature = beta, gamma, temperature

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        """See `Loss.forward`."""
        own, target = same_classes(student.outputs, teacher.outputs)
        own, target = (own / self.temperature).softmax(dim=1), (target / self.temperature).softmax(dim=1)
        classes, batch = _uncorrelated(own, target).mean(), _uncorrelated(own.T, target.T).mean()
        return self.temperature**2 * (self.beta * classes + self.gamma * batch)


def _uncorrelated(first: Tensor, second: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row of the one with the same row of the other, [rows]."""
    return (unit(_centred(first)) - unit(_centred(second))).square().sum(dim=1) / 2


def _centred(rows: Tensor) -> Tensor:
    """Rows of probabilities less their means, at a common scale.

    The scale has no part in a correlation. It is there so that `unit` sees the direction of a class of tiny
    probabilities, and none in the rounding of a constant row.
    """
    shares = rows / rows.detach().sum(dim=1, keepdim=True).clamp_min(1e-30)
    return shares - shares.mean(dim=1, keepdim=True)
