from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.responses.mlld import MLLD
from facekd.types import BatchContext, DatasetSize, ModelOutput

SIZE = DatasetSize(9, 5)


def logits(seed: int, images: int = 7) -> Tensor:
    return 3 * torch.randn(images, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlld(student: Tensor, teacher: Tensor, **options: tuple[float, ...]) -> Tensor:
    loss = create_loss(MLLD.name, ModelOutput(student), ModelOutput(teacher), SIZE, **options)
    context = BatchContext(torch.zeros(len(student), dtype=torch.int64), torch.arange(len(student)))
    value: Tensor = loss(ModelOutput(student), ModelOutput(teacher), context)
    return value


def truth(student: Tensor, teacher: Tensor, temperatures: tuple[float, ...]) -> float:
    """Pair by pair of images, and of classes."""
    images, classes = student.shape
    total = 0.0
    for temperature in temperatures:
        powers = [np.exp(z.numpy() / temperature) for z in (student, teacher)]
        s, t = (power / power.sum(axis=1, keepdims=True) for power in powers)
        total += temperature**2 * sum(float(t[i] @ np.log(t[i] / s[i])) for i in range(images)) / images
        total += sum((s[a] @ s[b] - t[a] @ t[b]) ** 2 for a in range(images) for b in range(images)) / images
        total += sum(
            (s[:, j] @ s[:, k] - t[:, j] @ t[:, k]) ** 2 for j in range(classes) for k in range(classes)
        ) / classes
    return total


@pytest.mark.parametrize("temperatures", [(2, 3, 4, 5, 6), (1, 1, 0.5, 8, 2.5)])
def test_it_is_the_three_levels_summed_over_the_temperatures(temperatures: tuple[float, ...]) -> None:
    got = float(mlld(logits(1), logits(2), temperatures=temperatures))
    assert got == pytest.approx(truth(logits(1), logits(2), temperatures), rel=1e-10)


def test_the_temperatures_are_2_to_6_by_default() -> None:
    exact = truth(logits(1), logits(2), (2, 3, 4, 5, 6))
    assert float(mlld(logits(1), logits(2))) == pytest.approx(exact, rel=1e-10)


def test_the_offset_of_an_images_logits_does_not_matter() -> None:
    offsets = torch.arange(7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(mlld(logits(1) + offsets, logits(2) - offsets), mlld(logits(1), logits(2)))


def test_the_order_of_images_and_of_classes_does_not_matter() -> None:
    images, classes = torch.randperm(7), torch.randperm(5)
    student, teacher = (z[images][:, classes] for z in (logits(1), logits(2)))
    torch.testing.assert_close(mlld(student, teacher), mlld(logits(1), logits(2)))


def test_equal_logits_cost_nothing() -> None:
    assert float(mlld(logits(1), logits(1) + 3)) == pytest.approx(0, abs=1e-12)


def test_a_batch_of_one_has_its_levels_too() -> None:
    exact = truth(logits(1, 1), logits(2, 1), (2, 3, 4, 5, 6))
    assert float(mlld(logits(1, 1), logits(2, 1))) == pytest.approx(exact, rel=1e-10)


def test_probabilities_that_underflow_leave_value_and_gradient_finite() -> None:
    student = torch.tensor([[9e4, 0.0, -9e4]], requires_grad=True)
    value = mlld(student, -student.detach())
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


@pytest.mark.parametrize(("temperatures", "text"), [((2, 3, 0, 5, 6), "temperatures must be above 0"),
                                                    ((4,), "must be 5 values like")])
def test_temperatures_without_meaning_are_refused(temperatures: tuple[float, ...], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        mlld(logits(1), logits(2), temperatures=temperatures)


def test_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="both must have been trained on the same classes"):
        mlld(logits(1)[:, :4], logits(2))
