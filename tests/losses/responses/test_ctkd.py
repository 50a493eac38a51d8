from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.responses.ctkd import CTKD
from facekd.types import BatchContext, DatasetSize, ModelOutput

SIZE = DatasetSize(9, 9)


def logits(seed: int) -> Tensor:
    return 3 * torch.randn(7, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(**options: float) -> Loss:
    return create_loss(CTKD.name, ModelOutput(logits(1)), ModelOutput(logits(2)), SIZE, **options)


def ctkd(loss: Loss, progress: float = 0.5, student: Tensor | None = None) -> Tensor:
    context = BatchContext(torch.zeros(7, dtype=torch.int64), torch.arange(7), progress)
    value: Tensor = loss(ModelOutput(logits(1) if student is None else student), ModelOutput(logits(2)), context)
    return value


def gradient_of_t(loss: Loss, progress: float, student: Tensor | None = None) -> float:
    (gradient,) = torch.autograd.grad(ctkd(loss, progress, student), loss.get_parameter("t"))
    return float(gradient)


def truth(t: float, min_temperature: float = 1, temperature_range: float = 20) -> float:
    """Return the loss image by image, with probabilities instead of their logarithms."""
    temperature = min_temperature + temperature_range / (1 + math.exp(-t))
    total = 0.0
    for student_row, teacher_row in zip(logits(1).numpy(), logits(2).numpy(), strict=True):
        p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum() for z in (teacher_row, student_row))
        total += float((p * np.log(p / q)).sum())
    return temperature**2 * total / 7


@pytest.mark.parametrize(("t", "min_temperature", "temperature_range"), [(1.0, 1, 20), (-3.0, 1, 20), (0.25, 0.5, 8)])
def test_it_is_the_divergence_at_the_learned_temperature(
    t: float, min_temperature: float, temperature_range: float
) -> None:
    loss = make(min_temperature=min_temperature, temperature_range=temperature_range)
    loss.load_state_dict({"t": torch.tensor(t)})
    assert float(ctkd(loss).detach()) == pytest.approx(truth(t, min_temperature, temperature_range), rel=1e-10)


def test_the_temperature_begins_at_1_plus_20_sigmoid_of_1() -> None:
    assert float(ctkd(make(), progress=0).detach()) == pytest.approx(truth(1), rel=1e-10)


@pytest.mark.parametrize(("progress", "strength"), [(0, 0), (5 / 240, 0.5), (2.5 / 240, 0.5 - 0.5**1.5), (10 / 240, 1),
                                                (0.99, 1)])
def test_the_temperatures_gradient_is_reversed_by_the_curriculum(progress: float, strength: float) -> None:
    gradient = (truth(1 + 1e-5) - truth(1 - 1e-5)) / 2e-5
    assert gradient_of_t(make(), progress) == pytest.approx(-strength * gradient, rel=1e-5)


def test_without_a_curriculum_the_gradient_is_reversed_from_the_first_step() -> None:
    assert gradient_of_t(make(curriculum=0), 0) == gradient_of_t(make(), 1)


def test_the_students_gradient_is_not_reversed() -> None:
    student = logits(1).requires_grad_()
    loss = make()
    (gradient,) = torch.autograd.grad(ctkd(loss, student=student), student)
    lower = ctkd(loss, student=(student - 1e-3 * gradient).detach())
    assert float(lower.detach()) < truth(1)


def test_a_step_of_descent_raises_the_loss_by_the_temperature() -> None:
    loss = make()
    loss.get_parameter("t").data -= 0.01 * gradient_of_t(loss, 0.5)
    assert float(ctkd(loss).detach()) > truth(1)


def test_equal_logits_cost_nothing_and_leave_the_temperature() -> None:
    assert float(ctkd(make(), student=logits(2)).detach()) == pytest.approx(0, abs=1e-9)
    assert gradient_of_t(make(), 0.5, logits(2)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("options", "text"), [
    ({"min_temperature": 0.0}, "min_temperature and temperature_range must be above 0, not 0.0 and 20"),
    ({"temperature_range": 0.0}, "min_temperature and temperature_range must be above 0"),
    ({"curriculum": 1.5}, "curriculum is a share of the training"),
])
def test_values_without_meaning_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make(**options)


def test_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="both must have been trained on the same classes"):
        ctkd(make(), student=logits(1)[:, :5])
