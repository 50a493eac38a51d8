from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.answers import Answer, Question, Size
from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.pkt import neighbour_divergence


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


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
    assert float(neighbour_divergence(student, teacher)) == pytest.approx(truth(student, teacher), rel=1e-4)


def test_it_reads_the_features_and_not_the_outputs() -> None:
    student = Answer(features(5, 2), read=features(5, 4, seed=1))
    teacher = Answer(features(5, 2), read=features(5, 6, seed=2))
    question = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5))
    found = create_loss("pkt", student, teacher, Size(5, 3))(student, teacher, question)
    assert float(found) == float(neighbour_divergence(student.features, teacher.features)) > 0


def test_it_goes_from_the_teacher_to_the_student() -> None:
    one, other = features(7, 5), features(7, 9, seed=1)
    assert float(neighbour_divergence(one, other)) != pytest.approx(float(neighbour_divergence(other, one)), rel=1e-3)


def test_scale_of_each_image_rotation_and_order_change_nothing() -> None:
    student, teacher = features(6, 5), features(6, 8, seed=1)
    first, shuffled = neighbour_divergence(student, teacher), torch.tensor([4, 0, 5, 2, 1, 3])
    rotation, scale = torch.linalg.qr(features(5, 5, seed=2)).Q, torch.arange(1.0, 7.0)[:, None]
    torch.testing.assert_close(neighbour_divergence(scale * student @ rotation, teacher / scale), first)
    torch.testing.assert_close(neighbour_divergence(student[shuffled], teacher[shuffled]), first)


def test_opposite_equal_and_zero_features_leave_value_and_gradient_finite() -> None:
    student = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).requires_grad_()
    value = neighbour_divergence(student, torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    (slope,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(slope.isfinite().all())


def test_another_batch_is_refused() -> None:
    with pytest.raises(ModelError, match="student features are of 4 images and the teacher's of 1"):
        neighbour_divergence(features(4, 3), features(1, 3))
