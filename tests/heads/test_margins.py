from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.heads import create_head
from facekd.heads.margin_head import MarginHead
from facekd.heads.margins import ArcFace, CosFace, arcface_target, combined_target, cosface_target


def expected_arcface(cos: float, margin: float) -> float:
    """Return ArcFace's target by its definition, from the angle, in Python's float64."""
    theta = math.acos(cos)
    return math.cos(theta + margin) if theta + margin <= math.pi else math.cos(theta) + math.cos(margin) - 1


EXPECTED: dict[str, Callable[[float, float], float]] = {
    "arcface": expected_arcface, "cosface": lambda cos, margin: cos - margin,
}


def margin_head(name: str, outputs: int, classes: int) -> MarginHead:
    head = create_head(name, outputs, classes)
    assert isinstance(head, MarginHead)
    return head


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return embeddings, labels and centers; some samples are opposite to, or on, their own center."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(8, 16, generator=generator) * 5
    centers, labels = torch.randn(6, 16, generator=generator), torch.tensor([0, 1, 2, 3, 4, 5, 0, 1])
    embeddings[1] = -2 * centers[1] + 0.1 * embeddings[1]
    embeddings[2] = 3 * centers[2]
    return embeddings, labels, centers


def expected_logits(
    name: str, embeddings: torch.Tensor, labels: torch.Tensor, centers: torch.Tensor
) -> NDArray[np.float64]:
    e, w = embeddings.double().numpy(), centers.double().numpy()
    cos = np.clip((e @ w.T) / np.outer(np.sqrt((e**2).sum(1)), np.sqrt((w**2).sum(1))), -1, 1)
    margin = {"arcface": 0.5, "cosface": 0.35}[name]
    for row, label in enumerate(labels.tolist()):
        cos[row, label] = EXPECTED[name](float(cos[row, label]), margin)
    return np.asarray(64 * cos)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_logits_equal_the_formula_in_float64(name: str) -> None:
    embeddings, labels, centers = batch()
    head = margin_head(name, 16, 6)
    head.weight.data.copy_(centers)
    logits = head(embeddings, labels)
    assert logits.dtype == torch.float32 and logits.shape == (8, 6)
    # On its own center (row 2) the sine is clamped to 1e-3: the error is 64 * sin(0.5) * 1e-3 = 0.031. Other errors are
    # those of float32.
    exact = expected_logits(name, embeddings, labels, centers)
    rows = [0, 1, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(logits[rows].detach().numpy(), exact[rows], atol=5e-5)
    np.testing.assert_allclose(logits[2].detach().numpy(), exact[2], atol=0.04)


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5, 1.2, 1.5])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_targets_agree_with_float64_up_to_a_millionth_from_the_poles(name: str, margin: float) -> None:
    near = 1 - 10.0 ** -np.linspace(0, 6, 400)
    cos = np.concatenate([-near[::-1], near]).astype(np.float32)
    cos = cos[np.abs(cos.astype(np.float64)) <= 1 - 1e-6]
    target = {"arcface": arcface_target, "cosface": cosface_target}[name]
    got = target(torch.from_numpy(cos), margin).numpy()
    np.testing.assert_allclose(got, [EXPECTED[name](float(c), margin) for c in cos], rtol=0, atol=3e-7)


def test_arcface_gradient_is_the_true_one() -> None:
    cos = torch.linspace(-0.999, 0.999, 401, requires_grad=True)
    (gradient,) = torch.autograd.grad(arcface_target(cos, 0.5).sum(), cos)
    theta = np.arccos(cos.detach().double().numpy())
    inside = theta + 0.5 <= np.pi
    # d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta); beyond pi the line has slope 1.
    expected = np.where(inside, np.sin(theta + 0.5) / np.sin(theta), 1.0)
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("margin", [0.1, 0.5, 1.0, 1.5])
def test_beyond_pi_the_target_goes_on_falling_without_a_jump(margin: float) -> None:
    theta = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    steps = arcface_target(theta.cos(), margin).diff()
    assert bool((steps <= 1e-9).all())
    assert float(steps.abs().max()) < 2e-3  # the clamped sine at theta = 0 makes the largest


def test_an_angle_beyond_pi_goes_on_falling_without_a_jump() -> None:
    cos = torch.linspace(-1, 1, 20001, dtype=torch.float64)
    steps = arcface_target(cos, 0.5).diff()
    assert bool((steps[:-1] > 0).all()) and float(steps[:-100].abs().max()) < 1e-2


def test_beyond_pi_the_worst_samples_keep_a_gradient() -> None:
    cos = torch.tensor([-1.0, -0.99, -0.9], requires_grad=True)
    (gradient,) = torch.autograd.grad(arcface_target(cos, 0.5).sum(), cos)
    assert gradient.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", sorted(EXPECTED))
@pytest.mark.parametrize("value", [1.0, -1.0, 1.0 + 2.4e-7, -1.0 - 2.4e-7, 0.0])
def test_targets_are_finite_at_the_poles(name: str, value: float) -> None:
    cos = torch.tensor([value], requires_grad=True)
    out = {"arcface": arcface_target, "cosface": cosface_target}[name](cos, 0.5)
    (gradient,) = torch.autograd.grad(out.sum(), cos)
    assert bool(out.isfinite().all()) and bool(gradient.isfinite().all()) and float(gradient) > 0


def expected_combined(cos: float, margins: tuple[float, float, float]) -> float:
    """Return ArcFace's equation 4 from the angle, with the line beyond m1 theta + m2 = pi, in Python's float64."""
    times, plus, minus = margins
    angle = times * math.acos(cos) + plus
    seam = (math.pi - plus) / times
    return (math.cos(angle) if angle <= math.pi else cos - math.cos(seam) - 1) - minus


TRIPLES = [(1.0, 0.3, 0.2), (0.9, 0.4, 0.15), (1.35, 0.0, 0.0), (1.0, 0.5, 0.0), (1.0, 0.0, 0.35), (4.0, 0.2, 0.1)]


@pytest.mark.parametrize("margins", TRIPLES)
def test_three_margins_agree_with_float64(margins: tuple[float, float, float]) -> None:
    cos = torch.cat([torch.linspace(-0.99999, 0.99999, 999), torch.tensor([-1 + 2e-6, 1 - 2e-6])])
    truth = [expected_combined(float(c), margins) for c in cos]
    np.testing.assert_allclose(combined_target(cos, margins).numpy(), truth, rtol=0, atol=1e-6 * max(1, margins[0]))


@pytest.mark.parametrize("margins", TRIPLES)
def test_three_margins_fall_with_the_angle_without_a_jump_and_keep_a_gradient(
    margins: tuple[float, float, float]
) -> None:
    theta = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    cos = theta.cos().requires_grad_()
    out = combined_target(cos, margins)
    (gradient,) = torch.autograd.grad(out.sum(), cos)
    steps = out.detach().diff()
    assert bool((steps <= 1e-9).all()) and float(steps.abs().max()) < 2e-3 * margins[0]
    assert bool(gradient.isfinite().all()) and float(gradient[1:-1].min()) > 0


def test_three_margins_are_arcface_and_cosface_where_the_others_are_nothing() -> None:
    cos = torch.linspace(-0.999, 0.999, 401, dtype=torch.float64)
    torch.testing.assert_close(combined_target(cos, (1.0, 0.5, 0.0)), arcface_target(cos, 0.5), rtol=0, atol=1e-12)
    torch.testing.assert_close(combined_target(cos, (1.0, 0.0, 0.35)), cosface_target(cos, 0.35), rtol=0, atol=1e-12)


def test_a_negative_margin_is_held_at_1_and_never_falls_towards_the_center() -> None:
    theta = torch.linspace(0, math.pi, 2_001, dtype=torch.float64)
    truth = (theta - 0.4).clamp_min(0).cos()
    got = arcface_target(theta.cos(), -0.4)
    torch.testing.assert_close(got[:-1], truth[:-1], rtol=0, atol=1e-9)
    assert float((got[-1] - truth[-1]).abs()) < 1e-3  # at pi the sine is clamped to 1e-3


def test_margins_may_differ_from_sample_to_sample() -> None:
    cos, margins = torch.tensor([-0.95, -0.2, 0.3, 0.99]), torch.tensor([0.5, 0.0, -0.3, -0.3])
    expected = [float(arcface_target(c, float(m))) for c, m in zip(cos, margins, strict=True)]
    np.testing.assert_allclose(arcface_target(cos, margins).numpy(), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("name", "margin"), [("arcface", 0.5), ("cosface", 0.35)])
def test_the_papers_defaults(name: str, margin: float) -> None:
    head = margin_head(name, 4, 3)
    assert isinstance(head.margin, (ArcFace, CosFace))
    assert (head.scale, head.margin.m, tuple(head.weight.shape)) == (64.0, margin, (3, 4))


def test_an_unknown_head_names_the_nearest() -> None:
    with pytest.raises(ModelError, match="unknown head 'arcfase': did you mean 'arcface'"):
        create_head("arcfase", 8, 2)


@pytest.mark.parametrize("bad", [{"classes": 0}, {"outputs": 0}, {"scale": 0.0}, {"margin": 1.6}, {"margin": -0.1}])
def test_useless_values_are_refused(bad: dict[str, float]) -> None:
    values: dict[str, float] = {"outputs": 8, "classes": 2, **bad}
    with pytest.raises(ModelError, match=r"head( arcface)?: "):
        create_head("arcface", **values)  # type: ignore[arg-type]
