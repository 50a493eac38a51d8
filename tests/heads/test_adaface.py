from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facekd.heads.adaface import AdaFace
from facekd.heads.margins import arcface_target

COS = torch.linspace(-0.99, 0.99, 41)


def at(quality: float) -> tuple[AdaFace, torch.Tensor]:
    """The margin, and lengths of this quality, before any batch."""
    margin = AdaFace()
    return margin, torch.full_like(COS, 20 + quality * 100 / margin.concentration)


def test_the_papers_defaults() -> None:
    margin = AdaFace()
    assert (margin.m, margin.concentration, margin.rate) == (0.4, 0.333, 0.01)
    assert (float(margin.mean), float(margin.deviation)) == (20, 100)


def test_the_worst_quality_has_arcfaces_margin() -> None:
    margin, lengths = at(-1)
    torch.testing.assert_close(margin.target_logit(COS, lengths), arcface_target(COS, 0.4), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("margin", "quality"), [(AdaFace(), 0), (AdaFace(concentration=0.0), 1)])
def test_mean_quality_or_no_concentration_has_cosfaces_margin(margin: AdaFace, quality: float) -> None:
    _, lengths = at(quality)
    torch.testing.assert_close(margin.target_logit(COS, lengths), COS - 0.4, rtol=0, atol=1e-6)


def test_the_best_quality_has_a_negative_angle_and_twice_the_cosine_margin() -> None:
    margin, lengths = at(1)
    truth = [math.cos(max(0.0, math.acos(float(c)) - 0.4)) - 0.8 for c in COS]
    np.testing.assert_allclose(margin.target_logit(COS, lengths).numpy(), truth, rtol=0, atol=1e-6)


def test_quality_is_clipped_and_has_no_gradient() -> None:
    margin = AdaFace()
    lengths = torch.tensor([0.0, 20.0, 1e6], requires_grad=True)
    quality = margin.quality(lengths)
    assert not quality.requires_grad
    np.testing.assert_allclose(quality.numpy(), [-0.333 * 0.2, 0, 1], atol=1e-6)


def test_statistics_run_over_batches() -> None:
    margin, generator = AdaFace(rate=0.1), np.random.default_rng(0)
    mean, deviation = 20.0, 100.0
    for _ in range(5):
        lengths = generator.uniform(5, 40, 16)
        margin.update_statistics(torch.zeros(16), torch.from_numpy(lengths).float())
        mean, deviation = 0.9 * mean + 0.1 * lengths.mean(), 0.9 * deviation + 0.1 * lengths.std(ddof=1)
    assert (float(margin.mean), float(margin.deviation)) == pytest.approx((mean, deviation), rel=1e-5)


def test_a_batch_of_one_or_of_equal_lengths_is_no_quality() -> None:
    margin = AdaFace(rate=1.0)
    for lengths in (torch.tensor([7.0]), torch.full((4,), 7.0)):
        margin.update_statistics(torch.zeros_like(lengths), lengths)
        assert margin.quality(lengths).tolist() == [0.0] * len(lengths)
