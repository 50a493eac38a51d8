from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.maps.ft import FactorTransfer
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.zeros(5, dtype=torch.int64), torch.arange(5))
SIZE = Size(5, 3)


def answer(*shapes: tuple[int, int, int], seed: int = 0) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    maps = tuple(torch.randn(5, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return Answer(torch.zeros(5, 2, dtype=torch.float64), maps)


def made(student: Answer, teacher: Answer, **options: float) -> FactorTransfer:
    torch.manual_seed(0)
    loss = create_loss("ft", student, teacher, SIZE, **options)
    assert isinstance(loss, FactorTransfer)
    return loss


def averaged(factor: Tensor, side: int) -> Tensor:
    n, c, height, width = factor.shape
    return factor.reshape(n, c, side, height // side, side, width // side).mean(dim=(3, 5))


def truth(own: Tensor, target: Tensor) -> float:
    a, b = (x.detach().numpy().reshape(5, -1) for x in (own, target))
    a, b = (x / np.sqrt((x * x).sum(axis=1))[:, None] for x in (a, b))
    return float(np.abs(a - b).mean())


@pytest.mark.parametrize(("own", "target"), [(4, 4), (4, 2), (2, 4)])
def test_it_compares_the_factors_of_the_last_maps_at_the_smaller_side(own: int, target: int) -> None:
    student, teacher = answer((3, 8, 8), (4, own, own)), answer((5, 8, 8), (6, target, target), seed=1)
    loss, side = made(student, teacher), min(own, target)
    exact = truth(averaged(loss.translator(student.maps[1]), side), averaged(loss.factor(teacher), side))
    assert float(loss(student, teacher, QUESTION).detach()) == pytest.approx(exact, rel=1e-9)


def test_a_translator_that_says_the_same_costs_nothing() -> None:
    student = answer((6, 4, 4))
    loss = made(student, student).eval()
    loss.translator.load_state_dict(loss.extractor.encoder.state_dict())
    assert float(loss(student, student, QUESTION).detach()) == pytest.approx(0, abs=1e-12)


def test_the_student_learns_to_say_the_teachers_factors() -> None:
    student, teacher = answer((4, 4, 4)), answer((6, 4, 4), seed=1)
    loss = made(student, teacher)
    student.maps[0].requires_grad_()
    optimiser = torch.optim.Adam([student.maps[0], *loss.translator.parameters()], 0.02)
    values = []
    for _ in range(40):
        value = loss(student, teacher, QUESTION)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


def test_the_translator_has_the_channels_of_the_factor() -> None:
    loss = made(answer((4, 4, 4)), answer((10, 4, 4)), rate=0.3, lessons=2)
    assert (loss.extractor.channels, loss.lessons) == (3, 2)
    assert loss.translator(answer((4, 4, 4)).maps[0]).shape == (5, 3, 4, 4)


def test_nothing_of_the_paraphraser_learns_with_the_student() -> None:
    student, teacher = answer((4, 4, 4)), answer((6, 4, 4), seed=1)
    loss = made(student, teacher).train()
    before = {key: value.clone() for key, value in loss.prepared.state_dict().items()}
    loss(student, teacher, QUESTION).backward()
    assert all(torch.equal(value, before[key]) for key, value in loss.prepared.state_dict().items())
    assert {p.grad for p in loss.prepared.parameters()} == {None}


def test_maps_of_other_channels_are_refused() -> None:
    loss = made(answer((4, 4, 4)), answer((6, 4, 4)))
    for student, teacher in (((5, 4, 4), (6, 4, 4)), ((4, 4, 4), (7, 4, 4))):
        with pytest.raises(ModelError, match="channels and the loss was made for"):
            loss(answer(student), answer(teacher), QUESTION)


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="loss ft: rate must be above 0 and at most 1, not 0"):
        made(answer((4, 4, 4)), answer((6, 4, 4)), rate=0)
