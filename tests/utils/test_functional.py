"""Unit vectors: equal to float64, finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.utils.functional import MIN_NORM, l2_normalize, l2_normalize_rows


def test_rows_equal_a_float64_reference() -> None:
    rows = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)) * torch.logspace(-4, 4, 50)[:, None]
    exact = rows.double().numpy()
    exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(l2_normalize(rows).numpy(), exact, rtol=0, atol=3e-7)


def test_gradients_are_those_of_differences() -> None:
    rows = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(l2_normalize, (rows,))


def test_a_row_without_direction_stays_and_its_gradient_is_finite() -> None:
    rows = torch.zeros(2, 3)
    rows[1, 0] = MIN_NORM / 2
    rows.requires_grad_()
    out = l2_normalize(rows)
    (gradient,) = torch.autograd.grad(out.sum(), rows)
    assert torch.equal(out, rows)
    assert torch.equal(gradient, torch.ones(2, 3))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_numpy_rows_equal_a_float64_reference(dtype: type[np.floating], tolerance: float) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 16)) * np.logspace(-4, 4, 50)[:, None]
    normalized = l2_normalize_rows(rows.astype(dtype))
    exact = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    assert normalized.dtype == dtype
    np.testing.assert_allclose(normalized, exact, rtol=0, atol=tolerance)


def test_numpy_rows_that_are_zero_or_nan_stay() -> None:
    rows = np.array([[0.0, 0.0], [np.nan, 1.0], [3.0, 4.0]], np.float32)
    np.testing.assert_allclose(l2_normalize_rows(rows), [[0, 0], [np.nan, np.nan], [0.6, 0.8]], rtol=1e-6)
