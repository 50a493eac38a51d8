"""Unit vectors: equal to float64, finite everywhere."""

from __future__ import annotations

import numpy as np
import torch

from facekd.utils.functional import NO_DIRECTION, unit


def test_rows_equal_a_float64_reading() -> None:
    rows = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 4, 50)[:, None]
    exact = rows.double().numpy()
    exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(unit(rows).numpy(), exact, rtol=0, atol=3e-7)


def test_gradients_are_those_of_differences() -> None:
    rows = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(unit, (rows,))


def test_a_row_without_direction_stays_and_its_gradient_is_finite() -> None:
    rows = torch.zeros(2, 3)
    rows[1, 0] = NO_DIRECTION / 2
    rows.requires_grad_()
    out = unit(rows)
    (gradient,) = torch.autograd.grad(out.sum(), rows)
    assert torch.equal(out, rows)
    assert torch.equal(gradient, torch.ones(2, 3))
