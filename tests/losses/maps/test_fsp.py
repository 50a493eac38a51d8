from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.maps.fsp import FSP
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 2)


def maps(channels: int, height: int, seed: int, width: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, channels, height, width or height, generator=generator, dtype=torch.float64)


def make_output(*stages: Tensor) -> ModelOutput:
    return ModelOutput(torch.zeros(len(stages[0]), 2), stages)


def make(student: ModelOutput, teacher: ModelOutput) -> Loss:
    torch.manual_seed(3)
    return create_loss(FSP.name, student, teacher, SIZE)


def fsp(student: ModelOutput, teacher: ModelOutput) -> float:
    return float(make(student, teacher)(student, teacher, CONTEXT).detach())


def matrix(shallow: Tensor, deep: Tensor) -> NDArray[np.float64]:
    """Return [N, C, D], position by position of the smaller map; the larger side must be a multiple of the smaller."""
    height, width = min(shallow.shape[2], deep.shape[2]), min(shallow.shape[3], deep.shape[3])
    total = np.zeros((len(shallow), shallow.shape[1], deep.shape[1]))
    for y in range(height):
        for x in range(width):
            first, second = (
                f.numpy()[:, :, y * (h := f.shape[2] // height):(y + 1) * h, x * (w := f.shape[3] // width):(x + 1) * w]
                .max(axis=(2, 3)) for f in (shallow, deep)
            )
            total += first[:, :, None] * second[:, None, :]
    return total / (height * width)


def truth(student: list[Tensor], teacher: list[Tensor]) -> float:
    return sum(
        float(np.mean((matrix(student[i], student[i + 1]) - matrix(teacher[i], teacher[i + 1])) ** 2))
        for i in range(len(student) - 1)
    )


STUDENT = [maps(3, 8, 0), maps(4, 4, 1), maps(6, 4, 2), maps(6, 2, 3)]
TEACHER = [maps(3, 8, 4), maps(4, 4, 5), maps(6, 4, 6), maps(6, 2, 7)]


def test_it_is_the_mean_squared_difference_summed_over_neighbors() -> None:
    assert fsp(make_output(*STUDENT), make_output(*TEACHER)) == pytest.approx(truth(STUDENT, TEACHER), rel=1e-10)


@pytest.mark.parametrize("deep", [(4, 4), (4, 8), (8, 2), (1, 1)])
def test_each_side_of_a_map_is_brought_to_the_smaller_by_the_maximum(deep: tuple[int, int]) -> None:
    height, width = deep
    student = [maps(3, 4, 0), maps(6, height, 1, width)]
    teacher = [maps(3, 4, 2), maps(6, height, 3, width)]
    assert fsp(make_output(*student), make_output(*teacher)) == pytest.approx(truth(student, teacher), rel=1e-10)


def test_the_two_networks_may_see_at_different_sides() -> None:
    student, teacher = [maps(3, 4, 0), maps(6, 2, 1)], [maps(3, 8, 2), maps(6, 4, 3)]
    assert fsp(make_output(*student), make_output(*teacher)) == pytest.approx(truth(student, teacher), rel=1e-10)


def test_stages_are_paired_from_the_deep_end() -> None:
    exact = truth(STUDENT[2:], TEACHER[2:])
    assert fsp(make_output(*STUDENT[2:]), make_output(*TEACHER)) == pytest.approx(exact, rel=1e-10)


def test_unequal_channels_are_bridged_by_a_convolution() -> None:
    student, teacher = [maps(2, 8, 0), maps(6, 4, 1)], [maps(3, 8, 2), maps(6, 4, 3)]
    loss = make(make_output(*student), make_output(*teacher))
    state = {key: value.numpy() for key, value in loss.state_dict().items()}
    assert sorted(state) == ["regressors.0.bias", "regressors.0.weight"]
    wide = np.einsum("oc,nchw->nohw", state["regressors.0.weight"][:, :, 0, 0], student[0].numpy())
    wide = wide + state["regressors.0.bias"][:, None, None]
    got = float(loss(make_output(*student), make_output(*teacher), CONTEXT).detach())
    assert got == pytest.approx(truth([torch.from_numpy(wide), student[1]], teacher), rel=1e-10)


def test_equal_channels_need_no_parts_of_its_own() -> None:
    assert list(make(make_output(*STUDENT), make_output(*TEACHER)).parameters()) == []


def test_equal_maps_cost_nothing() -> None:
    assert fsp(make_output(*STUDENT), make_output(*STUDENT)) == 0


def test_where_in_the_image_does_not_matter_to_maps_of_one_side() -> None:
    student, teacher = [maps(3, 4, 0), maps(6, 4, 1)], [maps(3, 4, 2), maps(6, 4, 3)]
    rotated = [x.rot90(1, (2, 3)) for x in student]
    exact = fsp(make_output(*student), make_output(*teacher))
    assert fsp(make_output(*rotated), make_output(*teacher)) == pytest.approx(exact, rel=1e-10)


def test_one_pair_of_stages_is_refused() -> None:
    with pytest.raises(ModelError, match="loss fsp: pairs of feature maps: 1: it relates neighboring stages"):
        fsp(make_output(*STUDENT[:1]), make_output(*TEACHER))


@pytest.mark.parametrize(("student", "teacher", "text"), [
    (STUDENT[2:], [TEACHER[2], maps(7, 4, 1)], "the loss was created for other networks"),
    (STUDENT, TEACHER, "pairs of feature maps: 4, but it was created for 2"),
    ([f[:4] for f in STUDENT[2:]], TEACHER[2:], "student FSP matrices are"),
])
def test_other_networks_are_refused(student: list[Tensor], teacher: list[Tensor], text: str) -> None:
    loss = make(make_output(*STUDENT[2:]), make_output(*TEACHER[2:]))
    with pytest.raises(ModelError, match=text):
        loss(make_output(*student), make_output(*teacher), CONTEXT)
