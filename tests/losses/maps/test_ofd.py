from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.ofd import OFD  # noqa: F401 (registers it)
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5), 0.5)
FIRST = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5), 0.0)
SIZE = DatasetSize(5, 3)


def make_output(*shapes: tuple[int, int, int], seed: int = 0, count: int = 5) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(count, *shape, generator=generator) for shape in shapes)
    return ModelOutput(torch.zeros(count, 2), maps)


def averaged(maps: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    n, c, height, width = maps.shape
    return np.asarray(maps.reshape(n, c, side, height // side, side, width // side).mean(axis=(3, 5)))


def margins(*batches: torch.Tensor) -> NDArray[np.float64]:
    rows = np.concatenate([batch.double().numpy().swapaxes(0, 1).reshape(batch.shape[1], -1) for batch in batches], 1)
    return np.array([row[row < 0].mean() if (row < 0).any() else 0.0 for row in rows])


def stage(loss: Loss, i: int, student: torch.Tensor, teacher: torch.Tensor, margin: NDArray[np.float64]) -> float:
    """Return the loss of one stage, element by element, for a new connector in training mode."""
    weight = loss.state_dict()[f"connectors.{i}.conv.weight"].double().numpy()[:, :, 0, 0]
    side = min(student.shape[2], teacher.shape[2])
    response = np.einsum("oc,nchw->nohw", weight, averaged(student.double().numpy(), side))
    mean, variance = response.mean((0, 2, 3), keepdims=True), response.var((0, 2, 3), keepdims=True)
    response = (response - mean) / np.sqrt(variance + 1e-5)
    target = averaged(np.maximum(teacher.double().numpy(), margin[:, None, None]), side)
    total = sum(0.0 if s <= t <= 0 else (s - t) ** 2 for s, t in zip(response.flat, target.flat, strict=True))
    return float(total / len(response))


STUDENT_SHAPES = ((2, 8, 8), (3, 4, 4), (4, 2, 2))
TEACHER_SHAPES = ((9, 8, 8), (5, 4, 4), (6, 4, 4), (7, 4, 4))


@pytest.mark.parametrize("pretrained", [False, True])
def test_it_is_the_weighted_sum_of_partial_distances(pretrained: bool) -> None:
    student, teacher = make_output(*STUDENT_SHAPES), make_output(*TEACHER_SHAPES, seed=1)
    loss = create_loss("ofd", student, teacher, SIZE)
    if pretrained:
        assert loss.pretrain_loss(teacher, FIRST) is None
    maps = teacher.feature_maps[1:]
    thresholds = [margins(t) if pretrained else np.zeros(t.shape[1]) for t in maps]
    stages = zip(student.feature_maps, maps, thresholds, strict=True)
    costs = [stage(loss, i, s, t, m) for i, (s, t, m) in enumerate(stages)]
    exact = costs[0] / 4 + costs[1] / 2 + costs[2]
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-5)


def test_pretraining_finds_the_mean_of_each_channels_negative_values() -> None:
    first, second = make_output((5, 4, 4), seed=1), make_output((5, 4, 4), seed=2, count=2)
    second.feature_maps[0][:, 0] -= 10  # a mean of batch means would be another
    first.feature_maps[0][:, 3].abs_()
    second.feature_maps[0][:, 3].abs_()
    loss = create_loss("ofd", make_output((3, 4, 4)), first, SIZE)
    loss.pretrain_loss(first, FIRST)
    loss.pretrain_loss(second, CONTEXT)
    result = loss.state_dict()["connectors.0.margin"]
    np.testing.assert_allclose(result.numpy(), margins(first.feature_maps[0], second.feature_maps[0]), rtol=1e-5)
    assert result[3] == 0 and (result[[0, 1, 2, 4]] < 0).all()


def test_the_first_batch_of_pretraining_forgets_the_teacher_before() -> None:
    before, after = make_output((5, 4, 4), seed=1), make_output((5, 4, 4), seed=2)
    loss = create_loss("ofd", make_output((3, 4, 4)), before, SIZE)
    loss.pretrain_loss(before, FIRST)
    loss.pretrain_loss(after, FIRST)
    result = loss.state_dict()["connectors.0.margin"]
    np.testing.assert_allclose(result.numpy(), margins(after.feature_maps[0]), rtol=1e-5)


@pytest.mark.parametrize("target", [-0.1, 0.0])
def test_what_a_relu_stops_on_both_sides_costs_nothing(target: float) -> None:
    student = make_output((3, 4, 4))
    teacher = ModelOutput(torch.zeros(5, 2), (torch.full((5, 2, 4, 4), target),))
    loss = create_loss("ofd", student, teacher, SIZE)
    loss.pretrain_loss(teacher, FIRST)
    state = loss.state_dict() | {"connectors.0.norm.weight": torch.zeros(2), "connectors.0.norm.bias": -torch.ones(2)}
    loss.load_state_dict(state)
    assert float(loss(student, teacher, CONTEXT).detach()) == 0
    loss.load_state_dict(state | {"connectors.0.norm.bias": torch.ones(2)})
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(32 * (1 - target) ** 2)


def test_a_restored_loss_knows_its_margins() -> None:
    student, teacher = make_output((3, 4, 4)), make_output((5, 4, 4), seed=1)
    loss, restored = (create_loss("ofd", student, teacher, SIZE) for _ in range(2))
    loss.pretrain_loss(teacher, FIRST)
    restored.load_state_dict(loss.state_dict())
    assert torch.equal(loss(student, teacher, CONTEXT), restored(student, teacher, CONTEXT))


def test_pretraining_takes_a_fifth_of_an_epoch_by_default() -> None:
    one, other = make_output((3, 4, 4)), make_output((5, 4, 4))
    assert create_loss("ofd", one, other, SIZE).pretrain_epochs == 0.2
    assert create_loss("ofd", one, other, SIZE, pretrain_epochs=1).pretrain_epochs == 1.0


def test_one_image_with_maps_of_one_place_is_finite() -> None:
    student, teacher = make_output((3, 1, 1), count=1), make_output((5, 1, 1), count=1)
    assert create_loss("ofd", student, teacher, SIZE)(student, teacher, CONTEXT).isfinite()


def test_networks_it_was_not_made_for_are_refused() -> None:
    student, teacher = make_output((3, 8, 8), (4, 4, 4)), make_output((5, 8, 8), (6, 4, 4))
    loss = create_loss("ofd", student, teacher, SIZE)
    for bad in (lambda: loss(make_output((3, 8, 8)), teacher, CONTEXT),
                lambda: loss.pretrain_loss(make_output((6, 4, 4)), FIRST)):
        with pytest.raises(ModelError, match="pairs of feature maps: 1, but it was created for 2"):
            bad()
    other = make_output((5, 8, 8), (7, 4, 4))
    for bad in (lambda: loss(student, other, CONTEXT), lambda: loss.pretrain_loss(other, FIRST)):
        with pytest.raises(ModelError, match="has 7 channels, but its connector was created for 6"):
            bad()
    with pytest.raises(ModelError, match="both must be of the same images"):
        loss(student, make_output((5, 8, 8), (6, 4, 4), count=4), CONTEXT)
