from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ie_kd import InheritExplore, cka
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = Size(5, 3)
STUDENT, TEACHER = (6, 4, 4), (8, 4, 4)


def answer(*shapes: tuple[int, int, int], seed: int = 0) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return Answer(torch.zeros(5, 2, dtype=torch.float64), maps)


def made(student: Answer, teacher: Answer, **options: Any) -> InheritExplore:
    torch.manual_seed(0)
    loss = create_loss("ie-kd", student, teacher, SIZE, **options)
    assert isinstance(loss, InheritExplore)
    return loss


def rows(factor: Tensor) -> NDArray[np.float64]:
    return np.asarray(factor.detach().numpy().reshape(len(factor), -1))


def angles(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.mean([abs(x @ y) / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]))


def gap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = (x / np.sqrt((x * x).sum(axis=1))[:, None] for x in (a, b))
    return float(np.abs(a - b).mean())


def likeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """CKA as its paper has it for features: |Y'X|^2 / (|X'X| |Y'Y|) of centred columns."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    lengths = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(b.T @ a) ** 2 / lengths)


@pytest.mark.parametrize(("exploration", "sign", "measure"),
                         [("cosine", 1, angles), ("l1", -1, gap), ("cka", 1, likeness)])
def test_one_half_is_brought_near_and_the_other_kept_away(exploration: str, sign: int, measure: Any) -> None:
    student, teacher = answer((3, 8, 8), STUDENT), answer(TEACHER, seed=1)
    loss = made(student, teacher, exploration=exploration, explore=0.7)
    factor, last = rows(loss.factor(teacher)), student.maps[1]
    inherited, explored = rows(loss.inheritor(last[:, :3])), rows(loss.explorer(last[:, 3:]))
    exact = gap(inherited, factor) + 0.7 * sign * measure(explored, factor)
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(exact, rel=1e-9)


def test_every_channel_reaches_one_half() -> None:
    for channels, divide in ((7, "natural"), (7, "random"), (6, "random")):
        student = answer((channels, 2, 2))
        inherits, explores = made(student, answer(TEACHER), divide=divide, split_seed=3).halves(student.maps[0])
        assert (inherits.shape[1], explores.shape[1]) == (channels // 2, channels - channels // 2)
        both = torch.cat([inherits, explores], dim=1)
        torch.testing.assert_close(both.sum(dim=1), student.maps[0].sum(dim=1))


def test_a_random_division_is_fixed_by_its_seed() -> None:
    student, teacher = answer((64, 1, 1)), answer(TEACHER)
    orders = [made(student, teacher, divide="random", split_seed=seed).halves.order.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_the_division_is_saved_with_the_loss() -> None:
    student, teacher = answer(STUDENT), answer(TEACHER, seed=1)
    saved = made(student, teacher, divide="random", split_seed=1)
    other = made(student, teacher, divide="random", split_seed=2)
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, QUESTION), saved(student, teacher, QUESTION))


@pytest.mark.parametrize("side", [2, 8])
def test_factors_of_other_sides_are_levelled(side: int) -> None:
    student, teacher = answer(STUDENT), answer((8, side, side), seed=1)
    assert bool(made(student, teacher)(student, teacher, QUESTION).isfinite())


@pytest.mark.parametrize("exploration", ["cosine", "l1", "cka"])
def test_both_halves_receive_a_gradient(exploration: str) -> None:
    student, teacher = answer(STUDENT), answer(TEACHER, seed=1)
    loss = made(student, teacher, exploration=exploration, explore=1.0)
    student.maps[0].requires_grad_()
    loss(student, teacher, QUESTION).backward()
    slope = student.maps[0].grad
    assert slope is not None and bool(slope[:, :3].any()) and bool(slope[:, 3:].any())


def test_without_exploration_the_other_half_is_free() -> None:
    student, teacher = answer(STUDENT), answer(TEACHER, seed=1)
    student.maps[0].requires_grad_()
    made(student, teacher, explore=0.0)(student, teacher, QUESTION).backward()
    slope = student.maps[0].grad
    assert slope is not None and bool(slope[:, :3].any()) and not bool(slope[:, 3:].any())


def test_cka_is_one_for_a_turned_and_scaled_copy_and_nothing_for_one_image() -> None:
    x = answer((2, 2, 2)).maps[0]
    turn = torch.linalg.qr(answer((8, 8, 1), seed=1).maps[0][0, :, :, 0])[0]
    assert float(cka(x, 3 * (x.flatten(1) @ turn).reshape(x.shape) + 1)) == pytest.approx(1, rel=1e-9)
    one = x[:1].clone().requires_grad_()
    torch.autograd.backward(cka(one, x[1:2]))
    assert one.grad is not None and not bool(one.grad.any())


@pytest.mark.parametrize(("options", "text"), [
    ({"divide": "odd"}, "loss ie-kd: divide 'odd' is none of: natural, random"),
    ({"exploration": "l2"}, "loss ie-kd: exploration 'l2' is none of: cosine, l1, cka"),
    ({"rate": 2.0}, "loss ie-kd: rate must be above 0"),
])
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        made(answer(STUDENT), answer(TEACHER), **options)


def test_a_map_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ie-kd: a student's map has 1 channel, which cannot be halved"):
        made(answer((1, 4, 4)), answer(TEACHER))


def test_a_student_of_other_channels_is_refused() -> None:
    with pytest.raises(ModelError, match="has 8 channels and the loss was made for 6"):
        made(answer(STUDENT), answer(TEACHER))(answer((8, 4, 4)), answer(TEACHER), QUESTION)
