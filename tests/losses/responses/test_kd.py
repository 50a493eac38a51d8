from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.responses.kd import kl_divergence
from tests.losses import samples
from tests.losses.samples import loss_of_logits

CLASSES = 1000


def logits(spread: float = 3.0) -> tuple[Tensor, Tensor]:
    return samples.logits(spread, classes=CLASSES)


def log_softmax(z: Tensor, temperature: float) -> NDArray[np.float64]:
    scaled = z.detach().double().numpy() / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))


def truth(student: Tensor, teacher: Tensor, temperature: float) -> NDArray[np.float64]:
    """Per image, in float64: the sum over the classes of p_t (log p_t - log p_s)."""
    student_log, teacher_log = log_softmax(student, temperature), log_softmax(teacher, temperature)
    return np.asarray((np.exp(teacher_log) * (teacher_log - student_log)).sum(axis=1))


def kd(student: Tensor, teacher: Tensor, **options: float) -> Tensor:
    return loss_of_logits("kd", student, teacher, **options)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kl_is_the_divergence_of_every_image_in_float64(temperature: float) -> None:
    student, teacher = logits()
    result = kl_divergence(student, teacher, temperature)
    np.testing.assert_allclose(result.numpy(), truth(student, teacher, temperature), rtol=1e-4)


def test_kl_goes_from_the_teacher_to_the_student() -> None:
    sure, unsure = torch.tensor([[30.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert float(kl_divergence(unsure, sure)) == pytest.approx(np.log(2), rel=1e-5)
    assert float(kl_divergence(sure, unsure)) == pytest.approx(15 - np.log(2), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"temperature": 1}, {"temperature": 2.5}])
def test_kd_is_the_batch_mean_times_the_squared_temperature(options: dict[str, float]) -> None:
    student, teacher = logits()
    temperature = options.get("temperature", 4.0)
    exact = temperature**2 * truth(student, teacher, temperature).mean()
    assert float(kd(student, teacher, **options)) == pytest.approx(exact, rel=1e-5)


def test_the_squared_temperature_keeps_the_size_of_the_gradient() -> None:
    """Hinton et al., equation 4: for high T and centered logits the gradient is (z_s - z_t) / classes, whatever T."""
    student, teacher = (z - z.mean(dim=1, keepdim=True) for z in logits(spread=0.1))
    leaf = student.requires_grad_()
    (gradient,) = torch.autograd.grad(kd(leaf, teacher, temperature=50) * len(leaf), leaf)
    expected = (student - teacher).detach() / CLASSES
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0.02 * float(expected.abs().max()))


def test_no_softmax_is_taken_of_a_softmax() -> None:
    """Of probabilities, which lie in [0, 1], the divergence could never pass 1."""
    student, teacher = torch.tensor([[0.0, 20.0, 0.0]]), torch.tensor([[20.0, 0.0, 0.0]])
    assert float(kl_divergence(student.softmax(dim=1), teacher.softmax(dim=1))) < 1
    assert float(kd(student, teacher, temperature=1)) == pytest.approx(20, rel=1e-6)


def test_probabilities_that_underflow_leave_value_and_gradient_finite() -> None:
    """In float32 exp(-500) is 0; a divergence from logarithms of such targets must be the formula's, not NaN."""
    student, teacher = torch.tensor([[-2e3, 0.0, 2e3]]).requires_grad_(), torch.tensor([[2e3, 0.0, -2e3]])
    assert float(teacher.softmax(dim=1)[0, 2]) == 0
    value = kd(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == pytest.approx(16 * truth(student, teacher, 4.0).mean(), rel=1e-6)
    torch.testing.assert_close(gradient, torch.tensor([[-4.0, 0.0, 4.0]]))


def test_the_mean_is_over_the_batch_and_not_over_the_classes() -> None:
    student, teacher = logits()
    once, twice = kd(student, teacher), kd(student.repeat(2, 1), teacher.repeat(2, 1))
    exact = 16 * truth(student, teacher, 4.0).mean()
    assert float(once) == pytest.approx(exact, rel=1e-5) and float(twice) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize(("temperature", "text"), [
    (-1, "a finite number from 0 to 1e.09, not -1"), ("4", "must be like 4.0, not '4'"),
    (float("nan"), "a finite number"),
])
def test_a_useless_temperature_is_refused(temperature: float, text: str) -> None:
    with pytest.raises(ModelError, match=f"loss kd: .*{text}"):
        kd(*logits(), temperature=temperature)


@pytest.mark.parametrize("shape", [(6, 10), (6, 1), (1, CLASSES)])
def test_unequal_shapes_are_refused_not_broadcast(shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="both must have been trained on the same classes"):
        kl_divergence(logits()[0], torch.ones(shape))
