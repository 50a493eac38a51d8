from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.responses.ctkd import CTKD
from facekd.types import Answer, Question, Size

SIZE = Size(9, 9)


def logits(seed: int) -> Tensor:
    return 3 * torch.randn(7, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(**options: float) -> Loss:
    return create_loss(CTKD.name, Answer(logits(1)), Answer(logits(2)), SIZE, **options)


def ctkd(loss: Loss, done: float = 0.5, student: Tensor | None = None) -> Tensor:
    question = Question(torch.zeros(7, dtype=torch.int64), torch.arange(7), done)
    value: Tensor = loss(Answer(logits(1) if student is None else student), Answer(logits(2)), question)
    return value


def slope_of_t(loss: Loss, done: float, student: Tensor | None = None) -> float:
    (slope,) = torch.autograd.grad(ctkd(loss, done, student), loss.get_parameter("t"))
    return float(slope)


def truth(t: float, least: float = 1, span: float = 20) -> float:
    """Image by image, with probabilities instead of their logarithms."""
    temperature = least + span / (1 + math.exp(-t))
    total = 0.0
    for own, target in zip(logits(1).numpy(), logits(2).numpy(), strict=True):
        p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum() for z in (target, own))
        total += float((p * np.log(p / q)).sum())
    return temperature**2 * total / 7


@pytest.mark.parametrize(("t", "least", "span"), [(1.0, 1, 20), (-3.0, 1, 20), (0.25, 0.5, 8)])
def test_it_is_the_divergence_at_the_learned_temperature(t: float, least: float, span: float) -> None:
    loss = make(least=least, span=span)
    loss.load_state_dict({"t": torch.tensor(t)})
    assert float(ctkd(loss).detach()) == pytest.approx(truth(t, least, span), rel=1e-10)


def test_the_temperature_begins_at_1_plus_20_sigmoid_of_1() -> None:
    assert float(ctkd(make(), done=0).detach()) == pytest.approx(truth(1), rel=1e-10)


@pytest.mark.parametrize(("done", "strength"), [(0, 0), (5 / 240, 0.5), (2.5 / 240, 0.5 - 0.5**1.5), (10 / 240, 1),
                                                (0.99, 1)])
def test_the_temperatures_gradient_is_turned_by_the_curriculum(done: float, strength: float) -> None:
    slope = (truth(1 + 1e-5) - truth(1 - 1e-5)) / 2e-5
    assert slope_of_t(make(), done) == pytest.approx(-strength * slope, rel=1e-5)


def test_without_a_curriculum_the_gradient_is_turned_from_the_first_step() -> None:
    assert slope_of_t(make(curriculum=0), 0) == slope_of_t(make(), 1)


def test_the_students_gradient_is_not_turned() -> None:
    student = logits(1).requires_grad_()
    loss = make()
    (slope,) = torch.autograd.grad(ctkd(loss, student=student), student)
    lower = ctkd(loss, student=(student - 1e-3 * slope).detach())
    assert float(lower.detach()) < truth(1)


def test_a_step_of_descent_raises_the_loss_by_the_temperature() -> None:
    loss = make()
    loss.get_parameter("t").data -= 0.01 * slope_of_t(loss, 0.5)
    assert float(ctkd(loss).detach()) > truth(1)


def test_equal_logits_cost_nothing_and_leave_the_temperature() -> None:
    assert float(ctkd(make(), student=logits(2)).detach()) == pytest.approx(0, abs=1e-9)
    assert slope_of_t(make(), 0.5, logits(2)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("options", "text"), [({"least": 0.0}, "least and span must be above 0, not 0.0 and 20"),
                                               ({"span": 0.0}, "least and span must be above 0"),
                                               ({"curriculum": 1.5}, "curriculum is a share of the training")])
def test_values_without_meaning_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make(**options)


def test_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="both must have been trained on the same classes"):
        ctkd(make(), student=logits(1)[:, :5])
