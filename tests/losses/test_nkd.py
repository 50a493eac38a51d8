from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.answers import Answer, Question, Size
from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.nkd import NKD

CLASSES = 10
LABELS = torch.tensor([0, 9, 4, 4, 7])


def logits(spread: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return (spread * torch.randn(len(LABELS), CLASSES, generator=generator),
            spread * torch.randn(len(LABELS), CLASSES, generator=generator))


def nkd(student: Tensor, teacher: Tensor, /, **options: float) -> Tensor:
    loss = create_loss(NKD.name, Answer(student), Answer(teacher), Size(9, CLASSES), **options)
    value: Tensor = loss(Answer(student), Answer(teacher), Question(LABELS, torch.arange(len(LABELS))))
    return value


def softmax(row: NDArray[np.float64]) -> list[float]:
    powers = [math.exp(x - row.max()) for x in row]
    return [power / sum(powers) for power in powers]


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
    """Whatever the true class's logit: the slope in all others is 0 there."""
    student, teacher = logits()
    own = teacher.scatter(1, LABELS[:, None], student.gather(1, LABELS[:, None]) - 5) + 2
    own.requires_grad_()
    with_others, without = (torch.autograd.grad(nkd(own, teacher, gamma=gamma), own)[0] for gamma in (1.5, 0.0))
    torch.testing.assert_close(with_others, without, rtol=0, atol=1e-6)


def test_a_sure_teacher_and_a_sure_student_leave_value_and_gradient_finite() -> None:
    student, teacher = torch.full((5, CLASSES), -1e3), torch.full((5, CLASSES), -1e3)
    student[:, 3], teacher.T[LABELS, torch.arange(5)] = 1e3, 1e3
    value = nkd(student.requires_grad_(), teacher)
    (slope,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(slope.isfinite().all())


@pytest.mark.parametrize(("options", "text"), [
    ({"temperature": 0}, "temperature must be above 0, not 0.0"), ({"gamma": -1}, "at least 0, not -1"),
])
def test_a_useless_option_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=f"loss nkd: .*{text}"):
        nkd(*logits(), **options)


@pytest.mark.parametrize("count", [1, CLASSES - 1])
def test_too_few_logits_are_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"loss nkd: {count} logits for 10 classes"):
        nkd(torch.zeros(5, count), torch.zeros(5, count))


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ModelError, match="trained on the same classes"):
        nkd(logits()[0], torch.zeros(5, CLASSES + 1))
