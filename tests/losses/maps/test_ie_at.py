from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ie_at import InheritExploreAttention
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = Size(5, 3)
NAME = InheritExploreAttention.name


def answer(*shapes: tuple[int, int, int], seed: int = 0) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return Answer(torch.zeros(5, 2, dtype=torch.float64), maps)


def look(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    strength = (maps**2).mean(axis=1).reshape(len(maps), -1)
    return np.asarray(strength / np.sqrt((strength**2).sum(axis=1))[:, None])


def test_it_sums_over_stages_the_attention_of_both_halves() -> None:
    student, teacher = answer((4, 4, 4), (5, 2, 2)), answer((9, 8, 8), (3, 4, 4), (7, 2, 2), seed=1)
    exact = 0.0
    for own, target in zip(student.maps, teacher.maps[1:], strict=True):
        half, goal = own.shape[1] // 2, look(target.numpy())
        exact += float(((look(own[:, :half].numpy()) - goal) ** 2).mean())
        exact += 0.3 * float((look(own[:, half:].numpy()) * goal).sum(axis=1).mean())
    loss = create_loss(NAME, student, teacher, SIZE, explore=0.3)
    assert float(loss(student, teacher, QUESTION)) == pytest.approx(exact, rel=1e-9)


def test_an_equal_half_inherits_for_nothing() -> None:
    half, other = answer((3, 4, 4)).maps[0], answer((2, 4, 4), seed=1).maps[0]
    student, teacher = Answer(half, (torch.cat([half, other, other], dim=1)[:, :6],)), Answer(half, (half,))
    loss = create_loss(NAME, student, teacher, SIZE, explore=0)
    assert float(loss(student, teacher, QUESTION)) == pytest.approx(0, abs=1e-15)


def test_the_divisions_are_saved_with_the_loss() -> None:
    student, teacher = answer((16, 4, 4), (16, 2, 2)), answer((4, 4, 4), (4, 2, 2), seed=1)
    saved, other = (create_loss(NAME, student, teacher, SIZE, divide="random", split_seed=seed) for seed in (1, 2))
    assert not torch.equal(other(student, teacher, QUESTION), saved(student, teacher, QUESTION))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, QUESTION), saved(student, teacher, QUESTION))


def test_other_networks_are_refused() -> None:
    loss = create_loss(NAME, answer((4, 4, 4)), answer((4, 4, 4)), SIZE)
    two = answer((4, 4, 4), (4, 4, 4))
    with pytest.raises(ModelError, match="pairs of maps: 2, but it was made for 1: make a new one"):
        loss(two, two, QUESTION)
    with pytest.raises(ModelError, match="has 6 channels and the loss was made for 4"):
        loss(answer((6, 4, 4)), answer((4, 4, 4)), QUESTION)


def test_a_map_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ie-at-ours: a student's map has 1 channel"):
        create_loss(NAME, answer((1, 4, 4)), answer((4, 4, 4)), SIZE)
