from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 3)


def make_output(*shapes: tuple[int, int, int], seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator) for shape in shapes)
    return ModelOutput(torch.zeros(5, 2), maps)


def averaged(maps: Tensor, side: int) -> NDArray[np.float64]:
    """Return means over blocks, [N, C, side, side]; the map's side must be a multiple of ``side``."""
    n, c, height, width = maps.shape
    blocks = maps.double().numpy().reshape(n, c, side, height // side, side, width // side)
    return np.asarray(blocks.mean(axis=(3, 5)))


def truth(loss: Loss, student: Tensor, teacher: Tensor, side: int) -> float:
    weights = {key: value.double().numpy() for key, value in loss.state_dict().items()}
    regressed = np.einsum("oc,nchw->nohw", weights["regressor.0.weight"][:, :, 0, 0], averaged(student, side))
    mean, variance = regressed.mean((0, 2, 3), keepdims=True), regressed.var((0, 2, 3), keepdims=True)
    regressed = (regressed - mean) / np.sqrt(variance + 1e-5)  # a new norm scales by 1 and shifts by 0
    return float(np.mean((regressed - averaged(teacher, side)) ** 2))


@pytest.mark.parametrize(("student_shape", "teacher_shape", "side"), [
    ((3, 4, 4), (7, 4, 4), 4), ((3, 8, 8), (7, 4, 4), 4), ((3, 4, 4), (7, 12, 12), 4), ((7, 1, 1), (7, 2, 2), 1),
])
def test_it_is_the_mean_squared_difference_at_the_smaller_side(
    student_shape: tuple[int, int, int], teacher_shape: tuple[int, int, int], side: int
) -> None:
    student, teacher = make_output(student_shape), make_output(teacher_shape, seed=1)
    loss = create_loss("hint", student, teacher, SIZE)
    exact = truth(loss, student.feature_maps[0], teacher.feature_maps[0], side)
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-5)


def test_each_side_of_a_map_is_brought_to_the_smaller() -> None:
    student, teacher = make_output((3, 8, 2)), make_output((7, 4, 4), seed=1)
    student_map, teacher_map = student.feature_maps[0], teacher.feature_maps[0]
    even = (ModelOutput(student.outputs, (student_map.reshape(5, 3, 4, 2, 2).mean(dim=3),)),
            ModelOutput(teacher.outputs, (teacher_map.reshape(5, 7, 4, 2, 2).mean(dim=4),)))
    loss = create_loss("hint", student, teacher, SIZE)
    torch.testing.assert_close(loss(student, teacher, CONTEXT), loss(*even, CONTEXT))


def test_a_map_the_regressor_can_make_costs_nothing() -> None:
    student, teacher = make_output((3, 4, 4)), make_output((3, 4, 4))
    loss = create_loss("hint", student, teacher, SIZE)
    values = student.feature_maps[0].transpose(0, 1).flatten(1)
    loss.load_state_dict({**loss.state_dict(), "regressor.0.weight": torch.eye(3)[:, :, None, None],
                          "regressor.1.weight": (values.var(1, correction=0) + 1e-5).sqrt(),
                          "regressor.1.bias": values.mean(1)})
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(0, abs=1e-10)


def test_the_regressor_does_not_heed_the_scale_of_the_students_map() -> None:
    student, teacher = make_output((3, 4, 4)), make_output((7, 4, 4), seed=1)
    loss = create_loss("hint", student, teacher, SIZE)
    larger = ModelOutput(student.outputs, (1000 * student.feature_maps[0],))
    assert float(loss(larger, teacher, CONTEXT).detach()) == pytest.approx(
        float(loss(student, teacher, CONTEXT).detach()), rel=1e-3)


STAGES = [(c, 4, 4) for c in (2, 3, 4, 5, 6)]


@pytest.mark.parametrize(("count", "channels"), [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4)])
def test_the_middle_stage_is_taken_by_default(count: int, channels: int) -> None:
    loss = create_loss("hint", make_output(*STAGES[:count]), make_output(*STAGES[:count]), SIZE)
    assert loss.state_dict()["regressor.0.weight"].shape[:2] == (channels, channels)


def test_stages_are_counted_from_the_shallowest() -> None:
    student, teacher = make_output(*STAGES), make_output(*STAGES, seed=1)
    loss = create_loss("hint", student, teacher, SIZE, student_stage=0, teacher_stage=4)
    exact = truth(loss, student.feature_maps[0], teacher.feature_maps[4], 4)
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(("options", "text"), [
    ({"student_stage": 3}, "student_stage 3 does not exist: the student's feature maps are 0 to 2"),
    ({"teacher_stage": 9}, "teacher_stage 9 does not exist: the teacher's feature maps are 0 to 2"),
    ({"teacher_stage": -2}, "'teacher_stage' must be a finite number from -1 to"),
])
def test_a_stage_that_is_not_there_is_refused(options: dict[str, int], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_loss("hint", make_output(*STAGES[:3]), make_output(*STAGES[:3]), SIZE, **options)


def test_an_output_without_feature_maps_is_refused_with_the_name_of_the_network() -> None:
    with pytest.raises(ModelError, match="the teacher's output has no feature maps: run the network live"):
        create_loss("hint", make_output(*STAGES), make_output(), SIZE)


def test_a_teacher_of_other_channels_is_refused() -> None:
    loss = create_loss("hint", make_output((3, 4, 4)), make_output((7, 4, 4)), SIZE)
    with pytest.raises(ModelError, match="the regressor was created for another teacher"):
        loss(make_output((3, 4, 4)), make_output((8, 4, 4)), CONTEXT)
