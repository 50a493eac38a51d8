from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from tests.losses import samples
from tests.losses.samples import loss_of_logits


def logits(spread: float = 3.0, classes: int = 10) -> tuple[Tensor, Tensor]:
    return samples.logits(spread, rows=12, classes=classes)


def dist(student: Tensor, teacher: Tensor, /, **options: float) -> Tensor:
    return loss_of_logits("dist", student, teacher, **options)


def truth(student: Tensor, teacher: Tensor, beta: float, gamma: float, temperature: float) -> float:
    """Pearson's correlations by numpy, row by row and column by column."""
    powers = [np.exp(z.double().numpy() / temperature) for z in (student, teacher)]
    student_p, teacher_p = (power / power.sum(axis=1, keepdims=True) for power in powers)
    rows = [1 - np.corrcoef(s, t)[0, 1] for s, t in zip(student_p, teacher_p, strict=True)]
    columns = [1 - np.corrcoef(s, t)[0, 1] for s, t in zip(student_p.T, teacher_p.T, strict=True)]
    return float(temperature**2 * (beta * np.mean(rows) + gamma * np.mean(columns)))


@pytest.mark.parametrize(("beta", "gamma", "temperature"), [(2, 2, 4), (1, 0, 1), (0, 1, 1), (0.5, 3, 2)])
def test_it_is_the_formula_by_numpys_correlations(beta: float, gamma: float, temperature: float) -> None:
    exact = truth(*logits(), beta, gamma, temperature)
    assert float(dist(*logits(), beta=beta, gamma=gamma, temperature=temperature)) == pytest.approx(exact, rel=1e-5)


def test_the_defaults_are_the_papers_for_cifar() -> None:
    assert float(dist(*logits())) == pytest.approx(truth(*logits(), 2, 2, 4), rel=1e-5)


@pytest.mark.parametrize("option", ["beta", "gamma"])
def test_only_correlation_counts(option: str) -> None:
    """Probabilities mixed with the uniform ones are scaled and shifted in every row and column alike."""
    options = {"beta": 0.0, "gamma": 0.0, "temperature": 1.0, option: 1.0}
    teacher = logits(spread=1)[1].softmax(dim=1)
    mixed = 0.3 * teacher + 0.7 / teacher.shape[1]
    assert float(dist(mixed.log(), teacher.log(), **options)) == pytest.approx(0, abs=1e-5)


def test_a_class_of_tiny_probabilities_counts_like_any_other() -> None:
    """Its column's length is about 1e-11, far below what counts as a direction."""
    student, teacher = (torch.cat([z[:, :9], z[:, 9:] - 25], dim=1) for z in logits(spread=1))
    exact = truth(student, teacher, 0, 1, 1)
    assert float(dist(student, teacher, beta=0, gamma=1, temperature=1)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("classes", [10, 1000])
def test_a_student_with_uniform_outputs_costs_a_half_each_with_small_gradients(classes: int) -> None:
    teacher = logits(classes=classes)[1]
    student = torch.full_like(teacher, 0.1, requires_grad=True)
    value = dist(student, teacher, beta=1, gamma=1, temperature=1)
    (gradient,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == pytest.approx(1, abs=1e-4)
    assert float(gradient.abs().max()) < 1


def test_a_batch_of_one_learns_from_its_classes_alone() -> None:
    student, teacher = (z[:1] for z in logits())
    student.requires_grad_()
    both, rows = dist(student, teacher), dist(student, teacher, gamma=0)
    torch.testing.assert_close(both, rows)
    torch.testing.assert_close(torch.autograd.grad(both, student), torch.autograd.grad(rows, student))


def test_probabilities_that_underflow_leave_value_and_gradient_finite() -> None:
    student, teacher = (z * 1e3 for z in logits())
    value = dist(student.requires_grad_(), teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


def test_equal_logits_cost_nothing() -> None:
    assert float(dist(logits()[0], logits()[0])) == 0


def test_a_useless_option_is_refused() -> None:
    with pytest.raises(ModelError, match=r"loss dist: .*from 0 to 1e.09, not -1"):
        dist(*logits(), gamma=-1)
