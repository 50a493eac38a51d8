from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.ofd import OFD  # noqa: F401 (registers it)
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5), 0.5)
FIRST = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5), 0.0)
SIZE = Size(5, 3)


def answer(*shapes: tuple[int, int, int], seed: int = 0, count: int = 5) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    return Answer(torch.zeros(count, 2), tuple(torch.randn(count, *shape, generator=generator) for shape in shapes))


def averaged(maps: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    n, c, height, width = maps.shape
    return np.asarray(maps.reshape(n, c, side, height // side, side, width // side).mean(axis=(3, 5)))


def margins(*batches: torch.Tensor) -> NDArray[np.float64]:
    rows = np.concatenate([batch.double().numpy().swapaxes(0, 1).reshape(batch.shape[1], -1) for batch in batches], 1)
    return np.array([row[row < 0].mean() if (row < 0).any() else 0.0 for row in rows])


def stage(loss: Loss, i: int, student: torch.Tensor, teacher: torch.Tensor, margin: NDArray[np.float64]) -> float:
    """Element by element, of a fresh connector in training mode."""
    weight = loss.state_dict()[f"connectors.{i}.conv.weight"].double().numpy()[:, :, 0, 0]
    side = min(student.shape[2], teacher.shape[2])
    own = np.einsum("oc,nchw->nohw", weight, averaged(student.double().numpy(), side))
    own = (own - own.mean((0, 2, 3), keepdims=True)) / np.sqrt(own.var((0, 2, 3), keepdims=True) + 1e-5)
    target = averaged(np.maximum(teacher.double().numpy(), margin[:, None, None]), side)
    total = sum(0.0 if s <= t <= 0 else (s - t) ** 2 for s, t in zip(own.flat, target.flat, strict=True))
    return float(total / len(own))


OWN = ((2, 8, 8), (3, 4, 4), (4, 2, 2))
TARGET = ((9, 8, 8), (5, 4, 4), (6, 4, 4), (7, 4, 4))


@pytest.mark.parametrize("learned", [False, True])
def test_it_is_the_weighed_sum_of_partial_distances(learned: bool) -> None:
    student, teacher = answer(*OWN), answer(*TARGET, seed=1)
    loss = create_loss("ofd", student, teacher, SIZE)
    if learned:
        assert loss.lesson(teacher, FIRST) is None
    maps = teacher.maps[1:]
    found = [margins(t) if learned else np.zeros(t.shape[1]) for t in maps]
    costs = [stage(loss, i, s, t, m) for i, (s, t, m) in enumerate(zip(student.maps, maps, found, strict=True))]
    exact = costs[0] / 4 + costs[1] / 2 + costs[2]
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(exact, rel=1e-5)


def test_a_lesson_finds_the_mean_of_what_each_channel_says_below_zero() -> None:
    first, second = answer((5, 4, 4), seed=1), answer((5, 4, 4), seed=2, count=2)
    second.maps[0][:, 0] -= 10  # a mean of batch means would be another
    first.maps[0][:, 3].abs_()
    second.maps[0][:, 3].abs_()
    loss = create_loss("ofd", answer((3, 4, 4)), first, SIZE)
    loss.lesson(first, FIRST)
    loss.lesson(second, QUESTION)
    found = loss.state_dict()["connectors.0.margin"]
    np.testing.assert_allclose(found.numpy(), margins(first.maps[0], second.maps[0]), rtol=1e-5)
    assert found[3] == 0 and (found[[0, 1, 2, 4]] < 0).all()


def test_the_first_batch_of_a_lesson_forgets_the_teacher_before() -> None:
    before, after = answer((5, 4, 4), seed=1), answer((5, 4, 4), seed=2)
    loss = create_loss("ofd", answer((3, 4, 4)), before, SIZE)
    loss.lesson(before, FIRST)
    loss.lesson(after, FIRST)
    found = loss.state_dict()["connectors.0.margin"]
    np.testing.assert_allclose(found.numpy(), margins(after.maps[0]), rtol=1e-5)


@pytest.mark.parametrize("target", [-0.1, 0.0])
def test_what_a_relu_stops_on_both_sides_costs_nothing(target: float) -> None:
    student = answer((3, 4, 4))
    teacher = Answer(torch.zeros(5, 2), (torch.full((5, 2, 4, 4), target),))
    loss = create_loss("ofd", student, teacher, SIZE)
    loss.lesson(teacher, FIRST)
    state = loss.state_dict() | {"connectors.0.norm.weight": torch.zeros(2), "connectors.0.norm.bias": -torch.ones(2)}
    loss.load_state_dict(state)
    assert float(loss(student, teacher, QUESTION).detach()) == 0
    loss.load_state_dict(state | {"connectors.0.norm.bias": torch.ones(2)})
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(32 * (1 - target) ** 2)


def test_a_restored_loss_knows_its_margins() -> None:
    student, teacher = answer((3, 4, 4)), answer((5, 4, 4), seed=1)
    loss, restored = (create_loss("ofd", student, teacher, SIZE) for _ in range(2))
    loss.lesson(teacher, FIRST)
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(loss(student, teacher, QUESTION), restored(student, teacher, QUESTION))


def test_a_fifth_of_an_epoch_is_looked_at_unless_told_otherwise() -> None:
    one, other = answer((3, 4, 4)), answer((5, 4, 4))
    assert create_loss("ofd", one, other, SIZE).lessons == 0.2
    assert create_loss("ofd", one, other, SIZE, lessons=1).lessons == 1.0


def test_one_image_with_maps_of_one_place_is_finite() -> None:
    student, teacher = answer((3, 1, 1), count=1), answer((5, 1, 1), count=1)
    assert create_loss("ofd", student, teacher, SIZE)(student, teacher, QUESTION).isfinite()


def test_networks_it_was_not_made_for_are_refused() -> None:
    student, teacher = answer((3, 8, 8), (4, 4, 4)), answer((5, 8, 8), (6, 4, 4))
    loss = create_loss("ofd", student, teacher, SIZE)
    for bad in (lambda: loss(answer((3, 8, 8)), teacher, QUESTION), lambda: loss.lesson(answer((6, 4, 4)), FIRST)):
        with pytest.raises(ModelError, match="pairs of maps: 1, but it was made for 2"):
            bad()
    other = answer((5, 8, 8), (7, 4, 4))
    for bad in (lambda: loss(student, other, QUESTION), lambda: loss.lesson(other, FIRST)):
        with pytest.raises(ModelError, match="has 7 channels, but its connector was made for 6"):
            bad()
    with pytest.raises(ModelError, match="both must be of the same images"):
        loss(student, answer((5, 8, 8), (6, 4, 4), count=4), QUESTION)
