from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.types import ModelOutput
from tests.losses.samples import compute_loss, make_output, maps


def value(student: ModelOutput, teacher: ModelOutput) -> float:
    return float(compute_loss("nst", student, teacher))


def truth(student: Tensor, teacher: Tensor) -> float:
    """Return the squared distance of the means of x x^T, the features of the kernel (x.y)^2."""
    distances = []
    for student_image, teacher_image in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        means = []
        for image in (student_image, teacher_image):
            rows = [channel.ravel() / np.sqrt((channel**2).sum()) for channel in image]
            means.append(np.mean([np.outer(row, row) for row in rows], axis=0))
        distances.append(((means[0] - means[1]) ** 2).sum())
    return float(np.mean(distances))


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [((3, 4), (3, 4)), ((3, 4), (7, 4)), ((9, 2), (2, 2))])
def test_one_stage_is_the_squared_discrepancy(student_shape: tuple[int, int], teacher_shape: tuple[int, int]) -> None:
    student, teacher = maps(*student_shape, seed=0), maps(*teacher_shape, seed=1)
    assert value(make_output(student), make_output(teacher)) == pytest.approx(truth(student, teacher), rel=1e-5)


def test_the_larger_map_is_averaged_down_first() -> None:
    student, teacher = maps(3, 8, 0), maps(5, 4, 1)
    averaged = student.reshape(3, 3, 4, 2, 4, 2).mean(dim=(3, 5))
    assert value(make_output(student), make_output(teacher)) == pytest.approx(truth(averaged, teacher), rel=1e-5)


def test_stages_are_summed_from_the_deep_end() -> None:
    student, teacher = [maps(2, 4, 0), maps(3, 2, 1)], [maps(4, 8, 2), maps(5, 4, 3), maps(6, 2, 4)]
    exact = truth(student[0], teacher[1]) + truth(student[1], teacher[2])
    assert value(make_output(*student), make_output(*teacher)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("change", [lambda x: x * torch.tensor([1.0, 10.0, 0.1])[:, None, None], lambda x: -x,
                                    lambda x: x.flip(1), lambda x: torch.cat([x, x], dim=1)],
                         ids=["scale", "sign", "order", "doubled"])
def test_only_the_distribution_of_directions_matters(change: object) -> None:
    assert callable(change)
    student, teacher = maps(3, 4, 0), maps(5, 4, 1)
    assert value(make_output(change(student)), make_output(teacher)) == pytest.approx(
        value(make_output(student), make_output(teacher)), rel=1e-5)


def test_the_same_channels_in_another_order_cost_nothing() -> None:
    teacher = maps(5, 4, 1)
    assert value(make_output(3 * teacher.flip(1)), make_output(teacher)) == pytest.approx(0, abs=1e-6)


def test_autocast_does_not_round_the_products() -> None:
    student, teacher = make_output(maps(3, 4, 0)), make_output(maps(5, 4, 1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = value(student, teacher)
    assert inside == value(student, teacher)


def test_a_dead_channel_has_a_finite_gradient() -> None:
    student_map = maps(3, 4, 0)
    student_map[:, 1] = 0
    student_map.requires_grad_()
    loss = compute_loss("nst", make_output(student_map), make_output(maps(5, 4, 1)))
    (gradient,) = torch.autograd.grad(loss, student_map)
    assert bool(gradient.isfinite().all())


def test_maps_of_other_images_are_refused() -> None:
    with pytest.raises(ModelError, match="feature maps of 3 and of 2 images: both must be of the same images"):
        value(make_output(maps(3, 4, 0)), make_output(maps(5, 4, 1)[:2]))
