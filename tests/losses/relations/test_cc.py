from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.relations.cc import correlations
from tests.losses.samples import features, loss_of_features


def cc(student: Tensor, teacher: Tensor, **options: float) -> Tensor:
    return loss_of_features("cc", student, teacher, **options)


def kernel(a: np.ndarray[tuple[int], np.dtype[np.float64]], b: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """exp(-0.8) (1 + 0.8 c + 0.32 c^2): gamma 0.4, order 2, by hand."""
    c = float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))
    return math.exp(-0.8) * (1 + 0.8 * c + 0.32 * c * c)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_formula_for_features_of_any_length(dtype: torch.dtype) -> None:
    student, teacher = features(6, 5, dtype=dtype), features(6, 9, seed=1, dtype=dtype)
    student_rows, teacher_rows = student.double().numpy(), teacher.double().numpy()
    pairs = [(i, j) for i in range(6) for j in range(6)]
    exact = np.mean([(kernel(student_rows[i], student_rows[j]) - kernel(teacher_rows[i], teacher_rows[j])) ** 2
                     for i, j in pairs])
    assert float(cc(student, teacher)) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.4, 1.5])
def test_a_long_series_is_the_gaussian_kernel_of_unit_features(gamma: float) -> None:
    points = features(5, 3)
    directions = points / points.norm(dim=1, keepdim=True)
    gaussian = torch.exp(-gamma * torch.cdist(directions, directions) ** 2)
    torch.testing.assert_close(correlations(points, gamma, 40), gaussian)


def test_features_of_zeros_leave_value_and_gradient_finite() -> None:
    student = torch.zeros(4, 3).requires_grad_()
    value = cc(student, features(4, 5))
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


@pytest.mark.parametrize("options", [{"gamma": 0.0}, {"order": 0}])
def test_a_kernel_that_is_constant_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="loss cc: gamma and order must be above 0"):
        cc(features(4, 3), features(4, 3), **options)
