from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.answers import Answer, Question, Size
from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.cc import correlations


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cc(student: Tensor, teacher: Tensor, **options: float) -> Tensor:
    own, target = Answer(torch.zeros(len(student), 2), read=student), Answer(torch.zeros(len(teacher), 3), read=teacher)
    loss = create_loss("cc", own, target, Size(9, 9), **options)
    images = torch.arange(len(student))
    value: Tensor = loss(own, target, Question(images, images))
    return value


def kernel(a: np.ndarray[tuple[int], np.dtype[np.float64]], b: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """exp(-0.8) (1 + 0.8 c + 0.32 c^2): gamma 0.4, order 2, by hand."""
    c = float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))
    return math.exp(-0.8) * (1 + 0.8 * c + 0.32 * c * c)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_formula_for_features_of_any_length(dtype: torch.dtype) -> None:
    student, teacher = features(6, 5, dtype=dtype), features(6, 9, seed=1, dtype=dtype)
    own, target = student.double().numpy(), teacher.double().numpy()
    exact = sum((kernel(own[i], own[j]) - kernel(target[i], target[j])) ** 2 for i in range(6) for j in range(6)) / 36
    assert float(cc(student, teacher)) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.4, 1.5])
def test_a_long_series_is_the_gaussian_kernel_of_unit_features(gamma: float) -> None:
    points = features(5, 3)
    directions = points / points.norm(dim=1, keepdim=True)
    gaussian = torch.exp(-gamma * torch.cdist(directions, directions) ** 2)
    torch.testing.assert_close(correlations(points, gamma, 40), gaussian)


def test_scale_of_each_image_rotation_and_order_change_nothing() -> None:
    student, teacher = features(6, 5), features(6, 8, seed=1)
    first, shuffled = cc(student, teacher), torch.tensor([4, 0, 5, 2, 1, 3])
    rotation, scale = torch.linalg.qr(features(5, 5, seed=2)).Q, torch.arange(1.0, 7.0)[:, None]
    torch.testing.assert_close(cc(scale * student @ rotation, teacher / scale), first)
    torch.testing.assert_close(cc(student[shuffled], teacher[shuffled]), first)


def test_features_of_zeros_leave_value_and_gradient_finite() -> None:
    student = torch.zeros(4, 3).requires_grad_()
    value = cc(student, features(4, 5))
    (slope,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(slope.isfinite().all())


@pytest.mark.parametrize("options", [{"gamma": 0.0}, {"order": 0}])
def test_a_kernel_that_is_constant_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="loss cc: gamma and order must be above 0"):
        cc(features(4, 3), features(4, 3), **options)


def test_another_batch_is_refused() -> None:
    with pytest.raises(ModelError, match="student features are of 4 images and the teacher's of 1"):
        cc(features(4, 3), features(1, 3))
