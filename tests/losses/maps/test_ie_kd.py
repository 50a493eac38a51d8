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
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 3)
STUDENT, TEACHER = (6, 4, 4), (8, 4, 4)


def make_output(*shapes: tuple[int, int, int], seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return ModelOutput(torch.zeros(5, 2, dtype=torch.float64), maps)


def make_loss(student: ModelOutput, teacher: ModelOutput, **options: Any) -> InheritExplore:
    torch.manual_seed(0)
    loss = create_loss("ie-kd", student, teacher, SIZE, **options)
    assert isinstance(loss, InheritExplore)
    return loss


def rows(factor: Tensor) -> NDArray[np.float64]:
    return np.asarray(factor.detach().numpy().reshape(len(factor), -1))


def mean_abs_cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.mean([abs(x @ y) / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)]))


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = (x / np.sqrt((x * x).sum(axis=1))[:, None] for x in (a, b))
    return float(np.abs(a - b).mean())


def cka_of_features(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return CKA as its paper has it for features: |Y'X|^2 / (|X'X| |Y'Y|) of centered columns."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    lengths = np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b)
    return float(np.linalg.norm(b.T @ a) ** 2 / lengths)


@pytest.mark.parametrize(("exploration", "sign", "measure"),
                         [("cosine", 1, mean_abs_cosine), ("l1", -1, distance), ("cka", 1, cka_of_features)])
def test_one_half_is_brought_near_and_the_other_kept_away(exploration: str, sign: int, measure: Any) -> None:
    student, teacher = make_output((3, 8, 8), STUDENT), make_output(TEACHER, seed=1)
    loss = make_loss(student, teacher, exploration=exploration, exploration_weight=0.7)
    factor, last = rows(loss.factor(teacher)), student.feature_maps[1]
    inherited, explored = rows(loss.inheritor(last[:, :3])), rows(loss.explorer(last[:, 3:]))
    exact = distance(inherited, factor) + 0.7 * sign * measure(explored, factor)
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-9)


def test_every_channel_reaches_one_half() -> None:
    for channels, split in ((7, "natural"), (7, "random"), (6, "random")):
        student = make_output((channels, 2, 2))
        loss = make_loss(student, make_output(TEACHER), split=split, split_seed=3)
        inherits, explores = loss.split(student.feature_maps[0])
        assert (inherits.shape[1], explores.shape[1]) == (channels // 2, channels - channels // 2)
        both = torch.cat([inherits, explores], dim=1)
        torch.testing.assert_close(both.sum(dim=1), student.feature_maps[0].sum(dim=1))


def test_a_random_division_is_fixed_by_its_seed() -> None:
    student, teacher = make_output((64, 1, 1)), make_output(TEACHER)
    orders = [make_loss(student, teacher, split="random", split_seed=seed).split.order.tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_the_division_is_saved_with_the_loss() -> None:
    student, teacher = make_output(STUDENT), make_output(TEACHER, seed=1)
    saved = make_loss(student, teacher, split="random", split_seed=1)
    other = make_loss(student, teacher, split="random", split_seed=2)
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, CONTEXT), saved(student, teacher, CONTEXT))


@pytest.mark.parametrize("side", [2, 8])
def test_factors_of_other_sides_are_brought_to_one_side(side: int) -> None:
    student, teacher = make_output(STUDENT), make_output((8, side, side), seed=1)
    assert bool(make_loss(student, teacher)(student, teacher, CONTEXT).isfinite())


@pytest.mark.parametrize("exploration", ["cosine", "l1", "cka"])
def test_both_halves_receive_a_gradient(exploration: str) -> None:
    student, teacher = make_output(STUDENT), make_output(TEACHER, seed=1)
    loss = make_loss(student, teacher, exploration=exploration, exploration_weight=1.0)
    student.feature_maps[0].requires_grad_()
    loss(student, teacher, CONTEXT).backward()
    gradient = student.feature_maps[0].grad
    assert gradient is not None and bool(gradient[:, :3].any()) and bool(gradient[:, 3:].any())


def test_without_exploration_the_other_half_is_free() -> None:
    student, teacher = make_output(STUDENT), make_output(TEACHER, seed=1)
    student.feature_maps[0].requires_grad_()
    make_loss(student, teacher, exploration_weight=0.0)(student, teacher, CONTEXT).backward()
    gradient = student.feature_maps[0].grad
    assert gradient is not None and bool(gradient[:, :3].any()) and not bool(gradient[:, 3:].any())


def test_cka_is_one_for_a_turned_and_scaled_copy_and_nothing_for_one_image() -> None:
    x = make_output((2, 2, 2)).feature_maps[0]
    rotation = torch.linalg.qr(make_output((8, 8, 1), seed=1).feature_maps[0][0, :, :, 0])[0]
    assert float(cka(x, 3 * (x.flatten(1) @ rotation).reshape(x.shape) + 1)) == pytest.approx(1, rel=1e-9)
    one = x[:1].clone().requires_grad_()
    torch.autograd.backward(cka(one, x[1:2]))
    assert one.grad is not None and not bool(one.grad.any())


@pytest.mark.parametrize(("options", "text"), [
    ({"split": "odd"}, "loss ie-kd: split 'odd' is none of: natural, random"),
    ({"exploration": "l2"}, "loss ie-kd: exploration 'l2' is none of: cosine, l1, cka"),
    ({"rate": 2.0}, "loss ie-kd: rate must be above 0"),
])
def test_an_option_that_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make_loss(make_output(STUDENT), make_output(TEACHER), **options)


def test_a_map_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ie-kd: a student's feature map has 1 channel, which cannot be halved"):
        make_loss(make_output((1, 4, 4)), make_output(TEACHER))


def test_a_student_of_other_channels_is_refused() -> None:
    with pytest.raises(ModelError, match="has 8 channels and the loss was created for 6"):
        make_loss(make_output(STUDENT), make_output(TEACHER))(make_output((8, 4, 4)), make_output(TEACHER), CONTEXT)
