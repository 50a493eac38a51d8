from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facekd.heads import create_head
from facekd.heads.magface import MagFace


def test_the_authors_defaults() -> None:
    margin = MagFace()
    assert (margin.norms, margin.margins, margin.weight) == ((10.0, 110.0), (0.45, 0.8), 35.0)


def test_the_margin_rises_in_a_line_and_keeps_to_its_bounds() -> None:
    lengths = torch.tensor([0.0, 10.0, 60.0, 110.0, 1e6])
    np.testing.assert_allclose(MagFace().adaptive_margin(lengths).numpy(), [0.45, 0.45, 0.625, 0.8, 0.8], rtol=1e-6)


@pytest.mark.parametrize("length", [10.0, 20.0, 60.0, 110.0, 300.0])
def test_the_penalty_is_the_papers(length: float) -> None:
    got = float(MagFace().penalty(torch.tensor([length], dtype=torch.float64)))
    assert got == pytest.approx(35 * (1 / length + length / 110**2), rel=1e-12)


def test_the_penalty_is_convex_least_at_the_upper_length_and_finite_at_0() -> None:
    lengths = torch.linspace(0, 220, 2_201, dtype=torch.float64)
    penalty = MagFace().penalty(lengths)
    assert bool(penalty.isfinite().all()) and float(lengths[penalty.argmin()]) == pytest.approx(110)
    assert float(penalty.diff().diff().min()) > -1e-12
    assert float(penalty.diff()[0] / 0.1) == pytest.approx(35 * (1 / 110**2 - 1 / 10**2))


def test_the_loss_has_the_mean_penalty_and_its_gradient() -> None:
    head, plain = create_head("magface", 8, 3), create_head("magface", 8, 3, options={"weight": 0})
    plain.load_state_dict(head.state_dict())
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(5, 8, generator=generator) * 12
    labels = torch.tensor([0, 1, 2, 0, 1])
    lengths = np.sqrt((embeddings.double().numpy() ** 2).sum(1))
    inside = lengths >= 10
    assert inside.sum() == 5
    leaf = embeddings.requires_grad_()
    extra = head.loss(leaf, labels) - plain.loss(leaf, labels)
    assert float(extra.detach()) == pytest.approx(35 * (1 / lengths + lengths / 110**2).mean(), rel=1e-4)
    (gradient,) = torch.autograd.grad(extra, leaf)
    along = (gradient.double().numpy() * embeddings.detach().double().numpy()).sum(1) / lengths
    np.testing.assert_allclose(along, 35 * (1 / 110**2 - 1 / lengths**2) / 5, rtol=1e-3)


def test_the_authors_weight_makes_longer_embeddings_of_nearer_ones() -> None:
    """The paper's property: the length that is best for a sample grows as its angle falls."""
    margin, lengths = MagFace(), torch.linspace(10, 110, 5_001, dtype=torch.float64)
    best = []
    for theta in (1.2, 0.9, 0.6, 0.3, 0.1):
        target = margin.target_logit(torch.full_like(lengths, math.cos(theta)), lengths)
        loss = torch.nn.functional.softplus(64 * (0.3 - target)) + margin.penalty(lengths)
        best.append(float(lengths[loss.argmin()]))
    assert best == sorted(best) and best[0] < best[-1]
