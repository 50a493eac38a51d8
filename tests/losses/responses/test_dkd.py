from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.responses.dkd import split_true_class
from facekd.types import ModelOutput
from tests.losses import samples
from tests.losses.samples import CLASSES, compute_loss, loss_of_logits, softmax

LABELS = torch.tensor([0, 9, 4, 4, 7])


def logits() -> tuple[Tensor, Tensor]:
    return samples.logits(rows=len(LABELS))


def dkd(
    student: Tensor, teacher: Tensor, labels: Tensor = LABELS, /, progress: float = 0.5, **options: float
) -> Tensor:
    return compute_loss("dkd", ModelOutput(student), ModelOutput(teacher), labels, progress, **options)


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def parts(student: Tensor, teacher: Tensor, temperature: float) -> NDArray[np.float64]:
    """Return TCKD and NCKD without T^2 and the teacher's p_true of every image, from probabilities."""
    rows = []
    for s, t, label in zip(student.double().numpy(), teacher.double().numpy(), LABELS.tolist(), strict=True):
        q, p = softmax(s / temperature), softmax(t / temperature)
        others_q = [x / (1 - q[label]) for c, x in enumerate(q) if c != label]
        others_p = [x / (1 - p[label]) for c, x in enumerate(p) if c != label]
        binary = divergence([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        rows.append([binary, divergence(others_p, others_q), p[label]])
    return np.array(rows)


@pytest.mark.parametrize("options", [{}, {"alpha": 0}, {"beta": 0}, {"alpha": 0.3, "beta": 2, "temperature": 1}])
def test_it_is_the_formula_from_probabilities_in_float64(options: dict[str, float]) -> None:
    student, teacher = logits()
    temperature = options.get("temperature", 4.0)
    tckd, nckd, _true = parts(student, teacher, temperature).mean(axis=0)
    exact = temperature**2 * (options.get("alpha", 1.0) * tckd + options.get("beta", 8.0) * nckd)
    assert float(dkd(student, teacher, **options)) == pytest.approx(exact, rel=1e-4)


def test_its_parts_make_up_kd_where_nckd_is_weighted_by_the_rest_of_the_teacher() -> None:
    """Equation 6 of the paper: KD = TCKD + (1 - p_true) NCKD, image by image."""
    student, teacher = logits()
    true = torch.from_numpy(parts(student, teacher, 4.0)[:, 2])
    for i in range(len(LABELS)):
        s, t, label = student[i:i + 1], teacher[i:i + 1], LABELS[i:i + 1]
        exact = float(loss_of_logits("kd", s, t, label))
        assert float(dkd(s, t, label, beta=float(1 - true[i]))) == pytest.approx(exact, rel=1e-4)


def test_the_true_class_is_taken_out_and_the_others_keep_their_order() -> None:
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    true, others = split_true_class(rows, torch.tensor([0, 1, 2]))
    assert (true.tolist(), others.tolist()) == ([[1.0], [5.0], [9.0]], [[2.0, 3.0], [4.0, 6.0], [7.0, 8.0]])


def test_a_shift_of_an_images_logits_is_nothing() -> None:
    student, teacher = logits()
    shifted = dkd(student + torch.arange(5.0)[:, None], teacher - 3)
    torch.testing.assert_close(shifted, dkd(student, teacher), rtol=1e-4, atol=0)


def test_the_others_part_does_not_look_at_the_true_class() -> None:
    student, teacher = logits()
    raised = student.scatter_add(1, LABELS[:, None], torch.full((5, 1), 6.0))
    torch.testing.assert_close(dkd(raised, teacher, alpha=0), dkd(student, teacher, alpha=0))


@pytest.mark.parametrize(("progress", "warmup", "share"), [
    (0.0, 1 / 12, 0.0), (1 / 24, 1 / 12, 0.5), (1 / 12, 1 / 12, 1.0), (0.9, 1 / 12, 1.0), (0.25, 1.0, 0.25),
    (0.0, 0.0, 1.0),
])
def test_it_rises_linearly_over_the_warm_up(progress: float, warmup: float, share: float) -> None:
    full = float(dkd(*logits(), progress=0.999, warmup=0))
    assert float(dkd(*logits(), progress=progress, warmup=warmup)) == pytest.approx(share * full, rel=1e-6)


def test_the_default_warm_up_is_20_of_240_epochs() -> None:
    full = float(dkd(*logits(), progress=20 / 240))
    assert float(dkd(*logits(), progress=5 / 240)) == pytest.approx(full / 4, rel=1e-6)


@pytest.mark.parametrize("name", ["dkd", "nkd"])
def test_a_sure_teacher_and_a_sure_student_leave_value_and_gradient_finite(name: str) -> None:
    """The rest's probability is 0 in float32; the logarithm of 1 - p_true would be -inf."""
    student, teacher = torch.full((5, CLASSES), -1e3), torch.full((5, CLASSES), -1e3)
    student[:, 3], teacher.T[LABELS, torch.arange(5)] = 1e3, 1e3
    value = loss_of_logits(name, student.requires_grad_(), teacher, LABELS)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


def test_equal_logits_cost_nothing() -> None:
    assert float(dkd(logits()[0], logits()[0])) == 0


@pytest.mark.parametrize(("options", "text"), [
    ({"warmup": 1.5}, "from 0 to 1, not 1.5"), ({"beta": -1}, "a finite number from 0 to 1e.09, not -1"),
])
def test_a_useless_option_is_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=f"loss dkd: .*{text}"):
        dkd(*logits(), **options)


@pytest.mark.parametrize("name", ["dkd", "nkd"])
@pytest.mark.parametrize("count", [1, CLASSES - 1])
def test_too_few_logits_are_refused(name: str, count: int) -> None:
    with pytest.raises(ModelError, match=f"loss {name}: {count} logits for 10 classes"):
        loss_of_logits(name, torch.zeros(5, count), torch.zeros(5, count), LABELS)
