from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ie_at import InheritExploreAttention
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 3)
NAME = InheritExploreAttention.name


def make_output(*shapes: tuple[int, int, int], seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return ModelOutput(torch.zeros(5, 2, dtype=torch.float64), maps)


def unit_attention(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    strength = (maps**2).mean(axis=1).reshape(len(maps), -1)
    return np.asarray(strength / np.sqrt((strength**2).sum(axis=1))[:, None])


def test_it_sums_over_stages_the_attention_of_both_halves() -> None:
    student, teacher = make_output((4, 4, 4), (5, 2, 2)), make_output((9, 8, 8), (3, 4, 4), (7, 2, 2), seed=1)
    exact = 0.0
    for student_map, teacher_map in zip(student.feature_maps, teacher.feature_maps[1:], strict=True):
        half, goal = student_map.shape[1] // 2, unit_attention(teacher_map.numpy())
        exact += float(((unit_attention(student_map[:, :half].numpy()) - goal) ** 2).mean())
        exact += 0.3 * float((unit_attention(student_map[:, half:].numpy()) * goal).sum(axis=1).mean())
    loss = create_loss(NAME, student, teacher, SIZE, exploration_weight=0.3)
    assert float(loss(student, teacher, CONTEXT)) == pytest.approx(exact, rel=1e-9)


def test_an_equal_half_inherits_for_nothing() -> None:
    half, other = make_output((3, 4, 4)).feature_maps[0], make_output((2, 4, 4), seed=1).feature_maps[0]
    student, teacher = ModelOutput(half, (torch.cat([half, other, other], dim=1)[:, :6],)), ModelOutput(half, (half,))
    loss = create_loss(NAME, student, teacher, SIZE, exploration_weight=0)
    assert float(loss(student, teacher, CONTEXT)) == pytest.approx(0, abs=1e-15)


def test_the_divisions_are_saved_with_the_loss() -> None:
    student, teacher = make_output((16, 4, 4), (16, 2, 2)), make_output((4, 4, 4), (4, 2, 2), seed=1)
    saved, other = (create_loss(NAME, student, teacher, SIZE, split="random", split_seed=seed) for seed in (1, 2))
    assert not torch.equal(other(student, teacher, CONTEXT), saved(student, teacher, CONTEXT))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(student, teacher, CONTEXT), saved(student, teacher, CONTEXT))


def test_other_networks_are_refused() -> None:
    loss = create_loss(NAME, make_output((4, 4, 4)), make_output((4, 4, 4)), SIZE)
    two = make_output((4, 4, 4), (4, 4, 4))
    with pytest.raises(ModelError, match="pairs of feature maps: 2, but it was created for 1: create a new loss"):
        loss(two, two, CONTEXT)
    with pytest.raises(ModelError, match="has 6 channels and the loss was created for 4"):
        loss(make_output((6, 4, 4)), make_output((4, 4, 4)), CONTEXT)


def test_a_map_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ie-at-ours: a student's feature map has 1 channel"):
        create_loss(NAME, make_output((1, 4, 4)), make_output((4, 4, 4)), SIZE)
