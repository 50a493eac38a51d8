from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.types import ModelOutput
from tests.losses.samples import compute_loss, make_output, maps


def value(student: ModelOutput, teacher: ModelOutput, **options: float) -> float:
    return float(compute_loss("at", student, teacher, **options))


def attention(image: Tensor, power: float, side: int) -> list[float]:
    """Return the attention of one image [C, H, W] at unit length, averaged over blocks to a smaller side."""
    channels, side_before = image.shape[0], image.shape[1]
    block = side_before // side
    cells: list[float] = []
    for row in range(side):
        for column in range(side):
            positions = [(row * block + i, column * block + j) for i in range(block) for j in range(block)]
            strengths = [sum(abs(float(image[c, y, x])) ** power for c in range(channels)) for y, x in positions]
            cells.append(sum(strengths) / len(strengths))
    norm = math.sqrt(sum(cell**2 for cell in cells))
    return [cell / norm for cell in cells]


def truth(student: Tensor, teacher: Tensor, power: float) -> float:
    side = min(student.shape[2], teacher.shape[2])
    squares = []
    for student_image, teacher_image in zip(student, teacher, strict=True):
        cells = zip(attention(student_image, power, side), attention(teacher_image, power, side), strict=True)
        squares += [(s - t) ** 2 for s, t in cells]
    return sum(squares) / len(squares)


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [((3, 4), (5, 4)), ((3, 8), (5, 4)), ((3, 2), (5, 6))])
@pytest.mark.parametrize("power", [1.0, 2.0, 4.0])
def test_one_stage_is_the_mean_squared_difference(
    student_shape: tuple[int, int], teacher_shape: tuple[int, int], power: float
) -> None:
    student, teacher = maps(*student_shape, seed=0), maps(*teacher_shape, seed=1)
    got = value(make_output(student), make_output(teacher), power=power)
    assert got == pytest.approx(truth(student, teacher, power), rel=1e-5)


def test_the_power_is_2_by_default() -> None:
    student, teacher = make_output(maps(3, 4, 0)), make_output(maps(5, 4, 1))
    assert value(student, teacher) == value(student, teacher, power=2)


def test_stages_are_summed_from_the_deep_end() -> None:
    student, teacher = [maps(2, 4, 0), maps(3, 2, 1)], [maps(4, 8, 2), maps(5, 4, 3), maps(6, 2, 4)]
    exact = truth(student[0], teacher[1], 2) + truth(student[1], teacher[2], 2)
    assert value(make_output(*student), make_output(*teacher)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("change", [lambda x: 7 * x, lambda x: 1e-5 * x, lambda x: -x, lambda x: x.flip(1),
                                    lambda x: torch.cat([x, x], dim=1)],
                         ids=["larger", "tiny", "sign", "order", "doubled"])
def test_scale_sign_order_and_number_of_channels_do_not_matter(change: object) -> None:
    assert callable(change)
    student, teacher = maps(3, 4, 0), maps(5, 4, 1)
    assert value(make_output(change(student)), make_output(teacher)) == pytest.approx(
        value(make_output(student), make_output(teacher)), rel=1e-5)


def test_the_scale_of_each_image_does_not_matter() -> None:
    student, teacher = maps(3, 4, 0), maps(5, 4, 1)
    scaled = student * torch.tensor([1.0, 10.0, 0.1])[:, None, None, None]
    assert value(make_output(scaled), make_output(teacher)) == pytest.approx(
        value(make_output(student), make_output(teacher)), rel=1e-5)


def test_a_map_of_zeros_has_a_finite_gradient() -> None:
    student_map = torch.zeros(3, 3, 4, 4, requires_grad=True)
    loss = compute_loss("at", make_output(student_map), make_output(maps(5, 4, 1)))
    (gradient,) = torch.autograd.grad(loss, student_map)
    assert bool(gradient.isfinite().all())


def test_a_power_below_1_is_refused() -> None:
    with pytest.raises(ModelError, match="loss at: power must be at least 1"):
        value(make_output(maps(3, 4, 0)), make_output(maps(5, 4, 1)), power=0.5)


def test_maps_of_other_images_are_refused() -> None:
    with pytest.raises(ModelError, match="both must be of the same images"):
        value(make_output(maps(3, 4, 0)), make_output(maps(5, 4, 1)[:2]))
