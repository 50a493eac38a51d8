from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from tests.losses import samples
from tests.losses.samples import CLASSES, loss_of_logits, softmax

LABELS = torch.tensor([0, 9, 4, 4, 7])


def logits() -> tuple[Tensor, Tensor]:
    return samples.logits(rows=len(LABELS))


def nkd(student: Tensor, teacher: Tensor, /, **options: float) -> Tensor:
    return loss_of_logits("nkd", student, teacher, LABELS, **options)


def truth(student: Tensor, teacher: Tensor, gamma: float, temperature: float) -> float:
    total = 0.0
    for s, t, label in zip(student.double().numpy(), teacher.double().numpy(), LABELS.tolist(), strict=True):
        total -= softmax(t)[label] * math.log(softmax(s)[label])
        q, p = softmax(s / temperature), softmax(t / temperature)
        for c in range(CLASSES):
            if c != label:
                weight = gamma * temperature**2 * p[c] / (1 - p[label])
                total -= weight * math.log(q[c] / (1 - q[label]))
    return total / len(LABELS)


@pytest.mark.parametrize(("gamma", "temperature"), [(1.5, 1.0), (0.0, 1.0), (2.0, 4.0)])
def test_it_is_the_formula_from_probabilities_in_float64(gamma: float, temperature: float) -> None:
    exact = truth(*logits(), gamma, temperature)
    assert float(nkd(*logits(), gamma=gamma, temperature=temperature)) == pytest.approx(exact, rel=1e-5)


def test_the_defaults_are_the_papers() -> None:
    assert float(nkd(*logits())) == pytest.approx(truth(*logits(), 1.5, 1.0), rel=1e-5)


def test_a_teacher_sure_of_the_labels_teaches_the_labels() -> None:
    student, teacher = logits()
    sure = teacher.scatter(1, LABELS[:, None], 1e4)
    labels = torch.nn.functional.cross_entropy(student, LABELS)
    torch.testing.assert_close(nkd(student, sure, gamma=0), labels)


def test_the_others_part_is_least_where_their_proportions_are_the_teachers() -> None:
    """Whatever the logit of the true class, the gradient of all others is 0 there."""
    student, teacher = logits()
    student_logits = teacher.scatter(1, LABELS[:, None], student.gather(1, LABELS[:, None]) - 5) + 2
    student_logits.requires_grad_()
    with_others, without = (
        torch.autograd.grad(nkd(student_logits, teacher, gamma=gamma), student_logits)[0] for gamma in (1.5, 0.0)
    )
    torch.testing.assert_close(with_others, without, rtol=0, atol=1e-6)


def test_a_useless_option_is_refused() -> None:
    with pytest.raises(ModelError, match=r"loss nkd: .*from 0 to 1e.09, not -1"):
        nkd(*logits(), gamma=-1)
