from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.responses.kd_std import KDStd
from tests.losses.samples import logits, loss_of_logits


def probabilities(row: list[float], temperature: float) -> list[float]:
    mean, deviation = statistics.fmean(row), statistics.pstdev(row)
    powers = [math.exp((x - mean) / deviation / temperature) for x in row]
    return [power / sum(powers) for power in powers]


def truth(student: Tensor, teacher: Tensor, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        for p, q in zip(probabilities(t, temperature), probabilities(s, temperature), strict=True):
            total += p * math.log(p / q)
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("options", [{}, {"temperature": 1}, {"temperature": 5}])
def test_it_is_the_formula_in_float64(options: dict[str, float]) -> None:
    exact = truth(*logits(), options.get("temperature", 2.0))
    assert float(loss_of_logits("kd-std", *logits(), **options)) == pytest.approx(exact, rel=2e-5)


def test_mean_and_spread_of_an_images_logits_are_nothing() -> None:
    student, teacher = logits()
    scales, shifts = torch.linspace(0.5, 4, 6)[:, None], torch.linspace(-5, 5, 6)[:, None]
    moved = loss_of_logits("kd-std", student * scales + shifts, teacher * scales.flip(0) - shifts)
    torch.testing.assert_close(moved, loss_of_logits("kd-std", student, teacher), rtol=1e-4, atol=0)


def test_a_student_of_other_scale_but_the_teachers_proportions_costs_nothing() -> None:
    teacher = logits()[1]
    assert float(loss_of_logits("kd-std", 0.4 * teacher - 2, teacher)) == pytest.approx(0, abs=1e-6)


def test_it_is_kd_where_the_logits_are_standard_already() -> None:
    student, teacher = ((z - z.mean(dim=1, keepdim=True)) / z.std(dim=1, correction=0, keepdim=True) for z in logits())
    kd = loss_of_logits("kd", student, teacher, temperature=2)
    torch.testing.assert_close(loss_of_logits("kd-std", student, teacher), kd, rtol=1e-4, atol=0)


def test_a_student_of_zeros_has_finite_value_and_gradient() -> None:
    student, teacher = torch.zeros(6, 10, requires_grad=True), logits()[1]
    value = loss_of_logits("kd-std", student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all()) and float(gradient.abs().max()) < 1e3


def test_the_weight_is_the_papers() -> None:
    assert KDStd.weight == 9


def test_a_useless_temperature_is_refused() -> None:
    with pytest.raises(ModelError, match=r"loss kd-std: .*from 0 to"):
        loss_of_logits("kd-std", *logits(), temperature=-1)
