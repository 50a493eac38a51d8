from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.ab import ActivationBoundaries
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 2)


def maps(channels: int, side: int, seed: int, count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, side, side, generator=generator, dtype=torch.float64)


def make_output(*stages: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(len(stages[0]), 2), stages)


def make(student: ModelOutput, teacher: ModelOutput) -> Loss:
    """Create a loss and move every parameter away from its initial value."""
    torch.manual_seed(3)
    loss = create_loss(ActivationBoundaries.name, student, teacher, SIZE)
    for parameter in loss.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, dtype=parameter.dtype)
    return loss


def ab(loss: Loss, student: ModelOutput, teacher: ModelOutput) -> float:
    return float(loss(student, teacher, CONTEXT).detach())


def truth(loss: Loss, stage: int, student: Tensor, teacher: Tensor) -> float:
    """Return the loss of one stage without its weight, element by element: a hinge for each state of the neuron."""
    state = {key: value.numpy() for key, value in loss.state_dict().items()}
    x = student.numpy().transpose(0, 2, 3, 1) @ state[f"connectors.{stage}.0.weight"][:, :, 0, 0].T
    x = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
    x = x * state[f"connectors.{stage}.1.weight"] + state[f"connectors.{stage}.1.bias"]
    total = 0.0
    for response, fires in zip(x.ravel(), teacher.numpy().transpose(0, 2, 3, 1).ravel() > 0, strict=True):
        if fires and response < 1:
            total += (1 - response) ** 2
        if not fires and response > -1:
            total += (1 + response) ** 2
    return float(3 / 1000 * total / len(student))


def test_one_stage_is_the_squared_hinge_over_the_batch() -> None:
    student, teacher = maps(3, 4, 0), maps(7, 4, 1)
    loss = make(make_output(student), make_output(teacher))
    exact = truth(loss, 0, student, teacher)
    assert ab(loss, make_output(student), make_output(teacher)) == pytest.approx(exact, rel=1e-10)


def test_a_stage_counts_half_of_the_next_from_the_deep_end() -> None:
    student = [maps(2, 8, 0), maps(3, 4, 1), maps(4, 2, 2)]
    teacher = [maps(2, 8, 3), maps(4, 8, 4), maps(5, 4, 5), maps(6, 2, 6)]
    loss = make(make_output(*student), make_output(*teacher))
    exact = sum(truth(loss, i, student[i], teacher[i + 1]) * (0.25, 0.5, 1)[i] for i in range(3))
    assert ab(loss, make_output(*student), make_output(*teacher)) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [((3, 8), (7, 4)), ((3, 4), (7, 8))])
def test_the_larger_map_is_averaged_down_first(student_shape: tuple[int, int], teacher_shape: tuple[int, int]) -> None:
    student, teacher = maps(*student_shape, seed=0), maps(*teacher_shape, seed=1)
    loss = make(make_output(student), make_output(teacher))
    resized = [x if x.shape[2] == 4 else x.reshape(5, -1, 4, 2, 4, 2).mean(dim=(3, 5)) for x in (student, teacher)]
    exact = truth(loss, 0, resized[0], resized[1])
    assert ab(loss, make_output(student), make_output(teacher)) == pytest.approx(exact, rel=1e-10)


def test_only_where_the_teacher_fires_counts() -> None:
    student, teacher = make_output(maps(3, 4, 0)), maps(7, 4, 1)
    loss = make(student, make_output(teacher))
    before = ab(loss, student, make_output(teacher))
    assert ab(loss, student, make_output(9 * teacher)) == ab(loss, student, make_output(teacher.relu())) == before


def test_a_student_beyond_the_margin_on_the_teachers_side_costs_nothing() -> None:
    teacher = maps(2, 4, 1).sign()
    teacher[:, :, ::2], teacher[:, :, 1::2] = 1, -1
    loss = create_loss(ActivationBoundaries.name, make_output(teacher), make_output(teacher), SIZE)
    with torch.no_grad():
        loss.get_parameter("connectors.0.0.weight").copy_(torch.eye(2)[:, :, None, None])
        loss.get_parameter("connectors.0.1.weight").fill_(1.1)
    assert ab(loss, make_output(teacher), make_output(0.01 * teacher)) == 0
    assert ab(loss, make_output(-teacher), make_output(teacher)) == pytest.approx(3 / 1000 * 32 * 2.1**2, rel=1e-4)


def test_the_connectors_learn_the_boundaries_that_can_be_learned() -> None:
    student = make_output(maps(7, 4, 0))
    teacher = make_output(torch.einsum("oc,nchw->nohw", maps(7, 1, 4, 4).flatten(1)[:, :7], student.feature_maps[0]))
    loss = create_loss(ActivationBoundaries.name, student, teacher, SIZE)
    steps = torch.optim.SGD(loss.parameters(), lr=0.05, momentum=0.9)
    before = ab(loss, student, teacher)
    for _ in range(100):
        steps.zero_grad()
        loss(student, teacher, CONTEXT).backward()
        steps.step()
    assert ab(loss, student, teacher) < 0.2 * before


def test_a_batch_of_one_image_with_maps_of_one_place_can_be_learned_from() -> None:
    student, teacher = make_output(maps(3, 1, 0, count=1)), make_output(maps(7, 1, 1, count=1))
    assert np.isfinite(ab(make(student, teacher), student, teacher))


@pytest.mark.parametrize(("student", "teacher", "text"), [
    ((maps(3, 4, 0),), (maps(8, 4, 1),), "the connector was created for another teacher"),
    ((maps(3, 4, 0),) * 2, (maps(7, 4, 1),) * 2, "pairs of feature maps: 2, but it was created for 1"),
    ((maps(3, 4, 0, 4),), (maps(7, 4, 1),), "student feature maps are"),
])
def test_other_networks_are_refused(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], text: str) -> None:
    loss = make(make_output(maps(3, 4, 0)), make_output(maps(7, 4, 1)))
    with pytest.raises(ModelError, match=text):
        loss(make_output(*student), make_output(*teacher), CONTEXT)
