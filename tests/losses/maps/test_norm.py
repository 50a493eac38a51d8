from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.losses.maps.norm import SafeBatchNorm2d


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (2, 3, 1, 1), (1, 3, 2, 1)])
def test_several_values_a_channel_are_normalized_by_the_batch(shape: tuple[int, ...]) -> None:
    x = maps(*shape)
    mean, variance = x.numpy().mean((0, 2, 3), keepdims=True), x.numpy().var((0, 2, 3), keepdims=True)
    result = SafeBatchNorm2d(3, dtype=torch.float64)(x).detach().numpy()
    np.testing.assert_allclose(result, (x.numpy() - mean) / np.sqrt(variance + 1e-5), rtol=1e-9)


def test_one_value_a_channel_is_normalized_by_the_running_statistics_and_leaves_them_alone() -> None:
    norm = SafeBatchNorm2d(3, dtype=torch.float64)
    norm(maps(4, 3, 2, 2) + 5)
    before = {key: value.clone() for key, value in norm.named_buffers()}
    x = maps(1, 3, 1, 1)
    expected = (x.flatten() - before["running_mean"]) / (before["running_var"] + 1e-5).sqrt()
    torch.testing.assert_close(norm(x).flatten(), expected)
    assert all(torch.equal(value, before[key]) for key, value in norm.named_buffers())
