from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ft import FactorTransfer
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = DatasetSize(5, 3)


def make_output(*shapes: tuple[int, int, int], seed: int = 0) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return ModelOutput(torch.zeros(5, 2, dtype=torch.float64), maps)


def make_loss(student: ModelOutput, teacher: ModelOutput, **options: float) -> FactorTransfer:
    torch.manual_seed(0)
    loss = create_loss("ft", student, teacher, SIZE, **options)
    assert isinstance(loss, FactorTransfer)
    return loss


def averaged(factor: Tensor, side: int) -> Tensor:
    n, c, height, width = factor.shape
    return factor.reshape(n, c, side, height // side, side, width // side).mean(dim=(3, 5))


def truth(first: Tensor, second: Tensor) -> float:
    a, b = (x.detach().numpy().reshape(5, -1) for x in (first, second))
    a, b = (x / np.sqrt((x * x).sum(axis=1))[:, None] for x in (a, b))
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize(("student_side", "teacher_side"), [(4, 4), (4, 2), (2, 4)])
def test_it_compares_the_factors_of_the_last_maps_at_the_smaller_side(student_side: int, teacher_side: int) -> None:
    student = make_output((3, 8, 8), (4, student_side, student_side))
    teacher = make_output((5, 8, 8), (6, teacher_side, teacher_side), seed=1)
    loss, side = make_loss(student, teacher), min(student_side, teacher_side)
    exact = truth(averaged(loss.translator(student.feature_maps[1]), side), averaged(loss.factor(teacher), side))
    assert float(loss(student, teacher, CONTEXT).detach()) == pytest.approx(exact, rel=1e-9)


def test_a_translator_with_equal_factors_costs_nothing() -> None:
    student = make_output((6, 4, 4))
    loss = make_loss(student, student).eval()
    loss.translator.load_state_dict(loss.extractor.encoder.state_dict())
    assert float(loss(student, student, CONTEXT).detach()) == pytest.approx(0, abs=1e-12)


def test_the_student_learns_the_teachers_factors() -> None:
    student, teacher = make_output((4, 4, 4)), make_output((6, 4, 4), seed=1)
    loss = make_loss(student, teacher)
    student.feature_maps[0].requires_grad_()
    optimizer = torch.optim.Adam([student.feature_maps[0], *loss.translator.parameters()], 0.02)
    values = []
    for _ in range(40):
        value = loss(student, teacher, CONTEXT)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


def test_the_translator_has_the_channels_of_the_factor() -> None:
    loss = make_loss(make_output((4, 4, 4)), make_output((10, 4, 4)), rate=0.3, pretrain_epochs=2)
    assert (loss.extractor.channels, loss.pretrain_epochs) == (3, 2)
    assert loss.translator(make_output((4, 4, 4)).feature_maps[0]).shape == (5, 3, 4, 4)


def test_nothing_of_the_paraphraser_learns_with_the_student() -> None:
    student, teacher = make_output((4, 4, 4)), make_output((6, 4, 4), seed=1)
    loss = make_loss(student, teacher).train()
    before = {key: value.clone() for key, value in loss.teacher_modules.state_dict().items()}
    loss(student, teacher, CONTEXT).backward()
    assert all(torch.equal(value, before[key]) for key, value in loss.teacher_modules.state_dict().items())
    assert {p.grad for p in loss.teacher_modules.parameters()} == {None}


def test_maps_of_other_channels_are_refused() -> None:
    loss = make_loss(make_output((4, 4, 4)), make_output((6, 4, 4)))
    for student, teacher in (((5, 4, 4), (6, 4, 4)), ((4, 4, 4), (7, 4, 4))):
        with pytest.raises(ModelError, match="channels and the loss was created for"):
            loss(make_output(student), make_output(teacher), CONTEXT)


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ft: rate must be above 0 and at most 1, not 0"):
        make_loss(make_output((4, 4, 4)), make_output((6, 4, 4)), rate=0)
