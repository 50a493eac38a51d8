from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.relations.rkd import angle_loss, distance_loss
from tests.losses.samples import features, loss_of_features


def rkd(student: Tensor, teacher: Tensor, **options: float) -> Tensor:
    return loss_of_features("rkd", student, teacher, **options)


def huber(a: float, b: float) -> float:
    gap = abs(a - b)
    return gap**2 / 2 if gap <= 1 else gap - 0.5


def distances(points: Tensor) -> NDArray[np.float64]:
    """Over the mean distance of all pairs of different images."""
    x, n = points.double().numpy(), len(points)
    table = np.array([[np.sqrt(((x[i] - x[j]) ** 2).sum()) for j in range(n)] for i in range(n)])
    return np.asarray(table / (table.sum() / (n * (n - 1))))


def cosine_at(points: Tensor, i: int, j: int, k: int) -> float:
    """By the law of cosines, so that no direction is ever formed."""
    x = points.double().numpy()
    a, b, c = (float(((x[p] - x[q]) ** 2).sum()) for p, q in ((i, j), (k, j), (i, k)))
    return (a + b - c) / (2 * float(np.sqrt(a * b))) if i != j and k != j else 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [1.0, 50.0])
def test_distances_are_the_formula_for_features_of_any_length(dtype: torch.dtype, spread: float) -> None:
    student, teacher = features(6, 5, dtype=dtype), features(6, 9, seed=1, dtype=dtype)
    student[0] *= spread  # so that some of the gaps lie on the straight part of smooth L1
    student_distances, teacher_distances = distances(student), distances(teacher)
    exact = np.mean([huber(student_distances[i, j], teacher_distances[i, j]) for i, j in product(range(6), repeat=2)])
    assert float(distance_loss(student, teacher)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_angles_are_the_formula_for_features_of_any_length(dtype: torch.dtype) -> None:
    student, teacher = features(6, 2, dtype=dtype), features(6, 9, seed=1, dtype=dtype)
    triples = list(product(range(6), repeat=3))
    exact = np.mean([huber(cosine_at(student, *triple), cosine_at(teacher, *triple)) for triple in triples])
    assert float(angle_loss(student, teacher)) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize(("options", "weights"), [
    ({}, (25, 50)), ({"distance_weight": 3.0, "angle_weight": 0.0}, (3, 0)),
    ({"distance_weight": 0.0, "angle_weight": 2.0}, (0, 2)),
])
def test_it_is_the_weighted_sum_of_both(options: dict[str, float], weights: tuple[float, float]) -> None:
    student, teacher = features(5, 4), features(5, 7, seed=1)
    exact = weights[0] * distance_loss(student, teacher) + weights[1] * angle_loss(student, teacher)
    assert float(rkd(student, teacher, **options)) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("term", [distance_loss, angle_loss, rkd])
def test_moving_turning_scaling_and_order_change_nothing(term: Callable[[Tensor, Tensor], Tensor]) -> None:
    student, teacher = features(6, 5), features(6, 8, seed=1)
    first, shuffled = term(student, teacher), torch.tensor([4, 0, 5, 2, 1, 3])
    rotation = torch.linalg.qr(features(5, 5, seed=2)).Q
    torch.testing.assert_close(term(3 * student @ rotation + 2, teacher / 7 - 1), first)
    torch.testing.assert_close(term(student[shuffled], teacher[shuffled]), first)


def test_a_moved_turned_and_scaled_teacher_costs_nothing() -> None:
    teacher = features(6, 5)
    assert float(rkd(3 * teacher @ torch.linalg.qr(features(5, 5, seed=2)).Q + 2, teacher)) < 1e-25


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["two the same", "two nearly the same", "all the same", "one image"])
def test_points_that_coincide_leave_value_and_gradient_finite(case: str, dtype: torch.dtype) -> None:
    student, teacher = features(4, 3, dtype=dtype), features(4, 5, seed=1, dtype=dtype)
    if case == "all the same":
        student[:], teacher[:] = student[0].clone(), teacher[0].clone()
    else:
        student[1] = student[0] + (1e-18 if case == "two nearly the same" else 0)
    if case == "one image":
        student, teacher = student[:1], teacher[:1]
    student.requires_grad_()
    value = rkd(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


def test_points_a_hair_apart_at_the_origin_leave_the_gradient_finite() -> None:
    """The cube of an inverse distance of 1e-15 is no float32."""
    student = torch.cat([torch.tensor([[0.0, 0.0, 0.0], [1e-15, 0.0, 0.0]]), features(2, 3).float()]).requires_grad_()
    (gradient,) = torch.autograd.grad(rkd(student, features(4, 5, seed=1).float()), student)
    assert bool(gradient.isfinite().all())


def test_the_gradient_is_that_of_differences_at_coinciding_points_of_the_teacher() -> None:
    teacher = features(4, 5, seed=1)
    teacher[1] = teacher[0]
    assert torch.autograd.gradcheck(lambda student: rkd(student, teacher), features(4, 3).requires_grad_())


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="loss rkd: distance_weight and angle_weight are both 0"):
        rkd(features(4, 3), features(4, 3), distance_weight=0, angle_weight=0)
