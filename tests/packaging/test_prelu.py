from __future__ import annotations

import pytest
import torch
from torch import nn

from facekd.packaging.prelu import without_prelu


@pytest.mark.parametrize("shape", [(4, 5), (2, 5, 3, 4)])
@pytest.mark.parametrize("slopes", [1, 5])
def test_values_equal_prelu(shape: tuple[int, ...], slopes: int) -> None:
    net = nn.Sequential(nn.PReLU(slopes)).double()
    nn.init.uniform_(net[0].weight, -1, 2)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(without_prelu(net)(x), net(x), rtol=1e-12, atol=1e-12)


def test_no_prelu_is_left_at_any_depth_and_the_original_keeps_its_own() -> None:
    net = nn.Sequential(nn.Sequential(nn.PReLU(3)), nn.PReLU())
    assert not any(isinstance(m, nn.PReLU) for m in without_prelu(net).modules())
    assert sum(isinstance(m, nn.PReLU) for m in net.modules()) == 2
