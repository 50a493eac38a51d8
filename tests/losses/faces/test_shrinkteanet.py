from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.faces.shrinkteanet import ShrinkTeaNet
from facekd.types import BatchContext, DatasetSize, ModelOutput

NAME = ShrinkTeaNet.name
CONTEXT = BatchContext(torch.arange(4), torch.arange(4))
SIZE = DatasetSize(4, 4)


def make_output(*shapes: tuple[int, int, int], seed: int = 0, scale: float = 1.0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(4, *shape, generator=generator, dtype=torch.float64) * scale

    return ModelOutput(draw(5), tuple(draw(*shape) for shape in shapes))


def cost(student_map: NDArray[np.float64], teacher_map: NDArray[np.float64]) -> float:
    total = 0.0
    count = len(student_map)
    for one, other in zip(student_map.reshape(count, -1), teacher_map.reshape(count, -1), strict=True):
        cos = one @ other / np.sqrt((one @ one) * (other @ other))
        total += float((1 - cos) ** 2) / count
    return total


def test_it_is_the_sum_over_layers_of_squared_angular_distances() -> None:
    student = make_output((2, 4, 4), (3, 2, 2), (4, 2, 2))
    teacher = make_output((6, 4, 4), (5, 1, 1), seed=1)
    loss = create_loss(NAME, student, teacher, SIZE)
    exact = cost(student.outputs.numpy(), teacher.outputs.numpy())
    averaged = teacher.feature_maps[0].reshape(4, 6, 2, 2, 2, 2).mean(dim=(3, 5))
    teacher_maps = [averaged.numpy(), teacher.feature_maps[1].numpy()]
    student_maps = [student.feature_maps[1].numpy(), student.feature_maps[2].mean(dim=(2, 3), keepdim=True).numpy()]
    state = {key: value.numpy() for key, value in loss.state_dict().items()}
    for i, (one, other) in enumerate(zip(student_maps, teacher_maps, strict=True)):
        regressed = np.einsum("oc,nchw->nohw", state[f"regressors.{i}.weight"][:, :, 0, 0], one)
        exact += cost(regressed + state[f"regressors.{i}.bias"][:, None, None], other)
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-12)


def test_lengths_of_embeddings_and_of_the_teachers_maps_do_not_matter() -> None:
    student, teacher = make_output((3, 2, 2)), make_output((3, 2, 2), seed=1)
    large = make_output((3, 2, 2), seed=1, scale=50)
    loss = create_loss(NAME, student, teacher, SIZE)
    longer = ModelOutput(student.outputs * 9, student.feature_maps)
    torch.testing.assert_close(loss(longer, large, CONTEXT), loss(student, teacher, CONTEXT))


def test_a_teacher_that_the_regressors_can_make_costs_nothing() -> None:
    student = make_output((3, 4, 4), (5, 2, 2))
    loss = create_loss(NAME, student, student, SIZE)
    state = {f"regressors.{i}.weight": torch.eye(c)[:, :, None, None] for i, c in enumerate((3, 5))}
    loss.load_state_dict(state | {f"regressors.{i}.bias": torch.zeros(c) for i, c in enumerate((3, 5))})
    assert float(loss(student, student, CONTEXT).detach()) == pytest.approx(0, abs=1e-20)


def test_an_embedding_of_another_width_is_refused() -> None:
    student, teacher = make_output((3, 2, 2)), make_output((3, 2, 2), seed=1)
    loss = create_loss(NAME, student, teacher, SIZE)
    with pytest.raises(ModelError, match="give the student a projection"):
        loss(ModelOutput(student.outputs[:, :4], student.feature_maps), teacher, CONTEXT)


def test_another_number_of_stages_is_refused() -> None:
    loss = create_loss(NAME, make_output((3, 2, 2)), make_output((3, 2, 2)), SIZE)
    with pytest.raises(ModelError, match="pairs of feature maps: 2, but it was created for 1"):
        loss(make_output((3, 2, 2), (3, 2, 2)), make_output((3, 2, 2), (3, 2, 2)), CONTEXT)


def test_a_teacher_of_other_channels_is_refused() -> None:
    loss = create_loss(NAME, make_output((3, 2, 2)), make_output((3, 2, 2)), SIZE)
    with pytest.raises(ModelError, match="the regressor was created for another teacher"):
        loss(make_output((3, 2, 2)), make_output((4, 2, 2)), CONTEXT)
