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
SIZE = DatasetSize(5, 2)


def maps(channels: int, side: int, seed: int, count: int = 5) -> Tensor:
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def make_output(*stages: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(len(stages[0]), 2), stages)


def make(student: ModelOutput, teacher: ModelOutput) -> Loss:
    """Create a loss and move every parameter away from its initial value."""
    torch.manual_seed(3)
    loss = create_loss("vid", student, teacher, SIZE)
    for parameter in loss.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return loss


def truth(loss: Loss, stage: int, student: Tensor, teacher: Tensor) -> float:
    state = {key: value.double().numpy() for key, value in loss.state_dict().items()}

    def weight(key: str) -> NDArray[np.float64]:
        return np.asarray(state[f"regressors.{stage}.{key}"])

    x = student.double().numpy().transpose(0, 2, 3, 1)
    for conv, norm in ((0, 1), (3, 4)):
        x = x @ weight(f"mean.{conv}.weight")[:, :, 0, 0].T
        x = (x - x.mean(axis=(0, 1, 2))) / np.sqrt(x.var(axis=(0, 1, 2)) + 1e-5)
        x = np.maximum(x * weight(f"mean.{norm}.weight") + weight(f"mean.{norm}.bias"), 0)
    x = x @ weight("mean.6.weight")[:, :, 0, 0].T + weight("mean.6.bias")
    variance = np.log(1 + np.exp(weight("alpha").ravel())) + 1e-5
    gap = x - teacher.double().numpy().transpose(0, 2, 3, 1)
    return float(np.mean(0.5 * (gap**2 / variance + np.log(variance))))


def test_one_stage_is_the_mean_negative_logarithm() -> None:
    student, teacher = maps(3, 4, 0), maps(7, 4, 1)
    loss = make(make_output(student), make_output(teacher))
    got = float(loss(make_output(student), make_output(teacher), CONTEXT).detach())
    assert got == pytest.approx(truth(loss, 0, student, teacher), rel=1e-5)


@pytest.mark.parametrize(("student_shape", "teacher_shape"), [((3, 8), (7, 4)), ((3, 4), (7, 8))])
def test_the_larger_map_is_averaged_down_first(student_shape: tuple[int, int], teacher_shape: tuple[int, int]) -> None:
    student, teacher = maps(*student_shape, seed=0), maps(*teacher_shape, seed=1)
    loss = make(make_output(student), make_output(teacher))
    resized = [x if x.shape[2] == 4 else x.reshape(5, -1, 4, 2, 4, 2).mean(dim=(3, 5)) for x in (student, teacher)]
    got = float(loss(make_output(student), make_output(teacher), CONTEXT).detach())
    assert got == pytest.approx(truth(loss, 0, resized[0], resized[1]), rel=1e-5)


def test_stages_are_summed_from_the_deep_end() -> None:
    student, teacher = [maps(2, 4, 0), maps(3, 2, 1)], [maps(4, 8, 2), maps(5, 4, 3), maps(6, 2, 4)]
    loss = make(make_output(*student), make_output(*teacher))
    exact = truth(loss, 0, student[0], teacher[1]) + truth(loss, 1, student[1], teacher[2])
    assert float(loss(make_output(*student), make_output(*teacher), CONTEXT).detach()) == pytest.approx(exact, rel=1e-5)


def test_the_variance_begins_at_5_for_each_of_the_teachers_channels() -> None:
    loss = create_loss("vid", make_output(maps(3, 4, 0)), make_output(maps(7, 4, 1)), SIZE)
    variance = torch.nn.functional.softplus(loss.state_dict()["regressors.0.alpha"]) + 1e-5
    torch.testing.assert_close(variance.flatten(), torch.full((7,), 5.0))


def test_an_exactly_predicted_map_costs_less_than_nothing() -> None:
    student, teacher = make_output(maps(3, 4, 0)), make_output(torch.zeros(5, 7, 4, 4))
    loss = create_loss("vid", student, teacher, SIZE)
    with torch.no_grad():
        for key, parameter in loss.named_parameters():
            parameter.fill_(-3.0 if key.endswith("alpha") else 0.0)
    variance = np.log1p(np.exp(-3.0)) + 1e-5
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(0.5 * np.log(variance), rel=1e-5)


def test_training_its_own_parts_lowers_it() -> None:
    student, teacher = make_output(maps(3, 4, 0)), make_output(torch.stack([maps(3, 4, 0)[:, 0].relu()] * 2, dim=1))
    torch.manual_seed(0)
    loss = create_loss("vid", student, teacher, SIZE)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
    values = []
    for _step in range(120):
        optimizer.zero_grad()
        value = loss(student, teacher, CONTEXT)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0 < values[0]


@pytest.mark.parametrize("side", [1, 2])
def test_a_batch_of_one_image_can_be_trained_on(side: int) -> None:
    student, teacher = make_output(maps(3, side, 0, count=1)), make_output(maps(7, side, 1, count=1))
    loss = create_loss("vid", student, teacher, SIZE)
    value = loss(student, teacher, CONTEXT)
    value.backward()
    gradients = [parameter.grad for parameter in loss.parameters()]
    assert bool(value.isfinite())
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_one_value_a_channel_leaves_the_running_statistics_alone() -> None:
    student, teacher = make_output(maps(3, 1, 0)), make_output(maps(7, 1, 1))
    loss = create_loss("vid", student, teacher, SIZE)
    loss(student, teacher, CONTEXT)
    before = {key: buffer.clone() for key, buffer in loss.named_buffers()}
    loss(make_output(student.feature_maps[0][:1]), make_output(teacher.feature_maps[0][:1]), CONTEXT)
    assert all(torch.equal(buffer, before[key]) for key, buffer in loss.named_buffers())


def test_a_teacher_of_other_channels_is_refused() -> None:
    student = make_output(maps(3, 4, 0))
    loss = create_loss("vid", student, make_output(maps(7, 4, 1)), SIZE)
    with pytest.raises(ModelError, match="the regressor was created for another teacher"):
        loss(student, make_output(maps(8, 4, 1)), CONTEXT)


def test_other_numbers_of_stages_are_refused() -> None:
    two, one = make_output(maps(3, 4, 0), maps(3, 4, 2)), make_output(maps(3, 4, 0))
    loss = create_loss("vid", two, two, SIZE)
    with pytest.raises(ModelError, match="pairs of feature maps: 1, but it was created for 2"):
        loss(one, two, CONTEXT)
