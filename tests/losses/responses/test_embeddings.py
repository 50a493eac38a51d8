from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.responses.embeddings import cosine_loss, l2_loss
from facekd.types import BatchContext, DatasetSize, ModelOutput

Distance = Callable[[Tensor, Tensor], Tensor]


def pair(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(7, 32, generator=generator).to(dtype), (4 * torch.randn(7, 32, generator=generator)).to(dtype)


def test_l2_is_the_mean_squared_distance_in_float64() -> None:
    student, teacher = pair()
    pairs = zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True)
    assert float(l2_loss(student, teacher)) == pytest.approx(sum((t - s) ** 2 for s, t in pairs) / 7, rel=1e-6)


def test_cosine_is_one_minus_the_mean_cosine_in_float64() -> None:
    student, teacher = pair()
    s, t = student.double().numpy(), teacher.double().numpy()
    cos = [np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)) for a, b in zip(s, t, strict=True)]
    assert float(cosine_loss(student, teacher)) == pytest.approx(1 - np.mean(cos), rel=1e-6)


def test_normalized_l2_is_twice_the_cosine_loss() -> None:
    student, teacher = pair()
    cosine = float(cosine_loss(student, teacher))
    assert float(l2_loss(student, teacher, normalize=True)) == pytest.approx(2 * cosine, rel=1e-6)


@pytest.mark.parametrize("loss", [l2_loss, lambda s, t: l2_loss(s, t, normalize=True), cosine_loss])
def test_gradcheck_in_float64(loss: Distance) -> None:
    student, teacher = pair(torch.float64)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), (student.requires_grad_(),))


@pytest.mark.parametrize("loss", [l2_loss, cosine_loss])
def test_low_precision_inputs_are_compared_in_float32(loss: Distance) -> None:
    student, teacher = pair(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(student, teacher)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(student.float(), teacher.float()))


@pytest.mark.parametrize("loss", [lambda s, t: l2_loss(s, t, normalize=True), cosine_loss])
@pytest.mark.parametrize("factor", [0.0, 1e-30])
def test_an_embedding_without_direction_stays_finite(loss: Distance, factor: float) -> None:
    student, teacher = pair()
    leaf = (student * factor).requires_grad_()
    value = loss(leaf, teacher)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert float(gradient.abs().max()) < 10 and value.item() == pytest.approx(1.0)


@pytest.mark.parametrize("loss", [l2_loss, cosine_loss])
@pytest.mark.parametrize("shape", [(7, 64), (7, 1), (1, 32)])
def test_unequal_shapes_are_refused_not_broadcast(loss: Distance, shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="the same size, or the student a projection"):
        loss(pair()[0], torch.ones(shape))


@pytest.mark.parametrize(("name", "options", "distance"), [
    ("l2", {}, lambda s, t: l2_loss(s, t, normalize=True)), ("l2", {"normalize": False}, l2_loss),
    ("cosine", {}, cosine_loss),
])
def test_by_name_it_is_the_same_distance(name: str, options: dict[str, bool], distance: Distance) -> None:
    student, teacher = pair()
    loss = create_loss(name, ModelOutput(student), ModelOutput(teacher), DatasetSize(9, 9), **options)
    context = BatchContext(torch.zeros(7, dtype=torch.int64), torch.arange(7))
    result = loss(ModelOutput(student), ModelOutput(teacher), context)
    assert torch.equal(result, distance(student, teacher))
