from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from facekd.deploy.prelu import SplitPReLU, replace_prelu


@pytest.mark.parametrize("shape", [(4, 5), (2, 5, 3, 4)])
@pytest.mark.parametrize("slopes", [1, 5])
def test_values_equal_prelu(shape: tuple[int, ...], slopes: int) -> None:
    net = nn.Sequential(nn.PReLU(slopes)).double()
    nn.init.uniform_(net[0].weight, -1, 2)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(replace_prelu(net)(x), net(x), rtol=1e-12, atol=1e-12)


class ReversedOrder(nn.Module):
    """A PReLU that is called before the batch norm that is registered before it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(5)
        self.slopes = nn.PReLU(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.slopes(x))


@pytest.mark.parametrize(("net", "foldable"), [
    (nn.Sequential(nn.BatchNorm2d(5), nn.PReLU(5)), True),
    (nn.Sequential(nn.BatchNorm2d(5, affine=False), nn.PReLU(5)), False),
    (ReversedOrder(), False),
])
@pytest.mark.parametrize("steepest", [0.9, 1.0, 1.5])
def test_slopes_below_1_are_folded_into_a_batch_norm_right_before(
    net: nn.Module, foldable: bool, steepest: float
) -> None:
    net = net.double().eval()
    (prelu,) = (module for module in net.modules() if isinstance(module, nn.PReLU))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.uniform_(module.weight, -2, 2)
            nn.init.normal_(module.bias)
    prelu.weight.data = torch.linspace(-1, steepest, 5, dtype=torch.float64)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    split = replace_prelu(net)
    torch.testing.assert_close(split(x), net(x), rtol=1e-12, atol=1e-12)
    (replacement,) = (module for module in split.modules() if isinstance(module, SplitPReLU))
    assert (replacement.rest is None) == (foldable and steepest < 1)


def test_no_prelu_is_left_at_any_depth_and_the_original_keeps_its_own() -> None:
    net = nn.Sequential(nn.Sequential(nn.BatchNorm2d(3), nn.PReLU(3)), nn.PReLU())
    assert not any(isinstance(m, nn.PReLU) for m in replace_prelu(net).modules())
    assert sum(isinstance(m, nn.PReLU) for m in net.modules()) == 2
    assert torch.equal(net.state_dict()["0.0.weight"], torch.ones(3))
