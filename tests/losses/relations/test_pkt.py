from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.losses.relations.pkt import neighbor_divergence
from facekd.types import ModelOutput
from tests.losses.samples import compute_loss, features


def truth(student: Tensor, teacher: Tensor) -> float:
    """The divergence by loops, without the small number that keeps logarithms finite."""
    tables = []
    for points in (student.double().numpy(), teacher.double().numpy()):
        alike = [[(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)) + 1) / 2 for b in points] for a in points]
        tables.append([[x / sum(row) for x in row] for row in alike])
    q, p = tables
    n = len(student)
    return float(sum(p[i][j] * np.log(p[i][j] / q[i][j]) for i in range(n) for j in range(n)) / n**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_divergence_for_features_of_any_length(dtype: torch.dtype) -> None:
    student, teacher = features(7, 5, dtype=dtype), features(7, 9, seed=1, dtype=dtype)
    assert float(neighbor_divergence(student, teacher)) == pytest.approx(truth(student, teacher), rel=1e-4)


def test_it_reads_the_features_and_not_the_outputs() -> None:
    student = ModelOutput(features(5, 2), pre_logits=features(5, 4, seed=1))
    teacher = ModelOutput(features(5, 2), pre_logits=features(5, 6, seed=2))
    result = compute_loss("pkt", student, teacher)
    assert float(result) == float(neighbor_divergence(student.features, teacher.features)) > 0


def test_it_goes_from_the_teacher_to_the_student() -> None:
    one, other = features(7, 5), features(7, 9, seed=1)
    assert float(neighbor_divergence(one, other)) != pytest.approx(float(neighbor_divergence(other, one)), rel=1e-3)


def test_opposite_equal_and_zero_features_leave_value_and_gradient_finite() -> None:
    student = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).requires_grad_()
    value = neighbor_divergence(student, torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())
