from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = Size(5, 3)


def answer(*shapes: tuple[int, int, int], seed: int = 0) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator) for shape in shapes)
    return Answer(torch.zeros(5, 2), maps)


def averaged(maps: Tensor, side: int) -> NDArray[np.float64]:
    """Means over the blocks of a map whose side the new one divides, [N, C, side, side]."""
    n, c, height, width = maps.shape
    blocks = maps.double().numpy().reshape(n, c, side, height // side, side, width // side)
    return np.asarray(blocks.mean(axis=(3, 5)))


def truth(loss: Loss, student: Tensor, teacher: Tensor, side: int) -> float:
    weights = {key: value.double().numpy() for key, value in loss.state_dict().items()}
    regressed = np.einsum("oc,nchw->nohw", weights["regressor.0.weight"][:, :, 0, 0], averaged(student, side))
    mean, variance = regressed.mean((0, 2, 3), keepdims=True), regressed.var((0, 2, 3), keepdims=True)
    regressed = (regressed - mean) / np.sqrt(variance + 1e-5)  # as the norm begins: times 1, plus 0
    return float(np.mean((regressed - averaged(teacher, side)) ** 2))


@pytest.mark.parametrize(("own", "target", "side"), [((3, 4, 4), (7, 4, 4), 4), ((3, 8, 8), (7, 4, 4), 4),
                                                     ((3, 4, 4), (7, 12, 12), 4), ((7, 1, 1), (7, 2, 2), 1)])
def test_it_is_the_mean_squared_difference_at_the_smaller_side(
    own: tuple[int, int, int], target: tuple[int, int, int], side: int
) -> None:
    student, teacher = answer(own), answer(target, seed=1)
    loss = create_loss("hint", student, teacher, SIZE)
    exact = truth(loss, student.maps[0], teacher.maps[0], side)
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(exact, rel=1e-5)


def test_each_side_of_a_map_is_brought_to_the_smaller() -> None:
    student, teacher = answer((3, 8, 2)), answer((7, 4, 4), seed=1)
    student_map, teacher_map = student.maps[0], teacher.maps[0]
    even = (Answer(student.outputs, (student_map.reshape(5, 3, 4, 2, 2).mean(dim=3),)),
            Answer(teacher.outputs, (teacher_map.reshape(5, 7, 4, 2, 2).mean(dim=4),)))
    loss = create_loss("hint", student, teacher, SIZE)
    torch.testing.assert_close(loss(student, teacher, QUESTION), loss(*even, QUESTION))


def test_a_map_the_regressor_can_make_costs_nothing() -> None:
    student, teacher = answer((3, 4, 4)), answer((3, 4, 4))
    loss = create_loss("hint", student, teacher, SIZE)
    values = student.maps[0].transpose(0, 1).flatten(1)
    loss.load_state_dict({**loss.state_dict(), "regressor.0.weight": torch.eye(3)[:, :, None, None],
                          "regressor.1.weight": (values.var(1, correction=0) + 1e-5).sqrt(),
                          "regressor.1.bias": values.mean(1)})
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(0, abs=1e-10)


def test_the_regressor_does_not_heed_the_scale_of_the_students_map() -> None:
    student, teacher = answer((3, 4, 4)), answer((7, 4, 4), seed=1)
    loss = create_loss("hint", student, teacher, SIZE)
    larger = Answer(student.outputs, (1000 * student.maps[0],))
    assert float(loss(larger, teacher, QUESTION).detach()) == pytest.approx(
        float(loss(student, teacher, QUESTION).detach()), rel=1e-3)


STAGES = [(c, 4, 4) for c in (2, 3, 4, 5, 6)]


@pytest.mark.parametrize(("count", "channels"), [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4)])
def test_the_middle_stage_is_taken_by_default(count: int, channels: int) -> None:
    loss = create_loss("hint", answer(*STAGES[:count]), answer(*STAGES[:count]), SIZE)
    assert loss.state_dict()["regressor.0.weight"].shape[:2] == (channels, channels)


def test_stages_are_counted_from_the_shallowest() -> None:
    student, teacher = answer(*STAGES), answer(*STAGES, seed=1)
    loss = create_loss("hint", student, teacher, SIZE, student_stage=0, teacher_stage=4)
    exact = truth(loss, student.maps[0], teacher.maps[4], 4)
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(("options", "text"), [
    ({"student_stage": 3}, "student_stage 3 does not exist: the student's maps are 0 to 2"),
    ({"teacher_stage": 9}, "teacher_stage 9 does not exist: the teacher's maps are 0 to 2"),
    ({"teacher_stage": -2}, "'teacher_stage' must be a finite number of at least -1"),
])
def test_a_stage_that_is_not_there_is_refused(options: dict[str, int], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_loss("hint", answer(*STAGES[:3]), answer(*STAGES[:3]), SIZE, **options)


def test_an_answer_without_maps_is_refused_by_whose_it_is() -> None:
    with pytest.raises(ModelError, match="the teacher's answer holds no maps: run it live"):
        create_loss("hint", answer(*STAGES), answer(), SIZE)


def test_a_teacher_of_other_channels_is_refused() -> None:
    loss = create_loss("hint", answer((3, 4, 4)), answer((7, 4, 4)), SIZE)
    with pytest.raises(ModelError, match="the regressor was made for another teacher"):
        loss(answer((3, 4, 4)), answer((8, 4, 4)), QUESTION)
