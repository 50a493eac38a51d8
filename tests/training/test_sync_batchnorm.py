"""What several processes make of it together stands in test_distributed.py."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facekd.training.sync_batchnorm import _SharedNorm


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("affine", [True, False])
def test_alone_it_is_torchs_own_in_any_precision(dtype: torch.dtype, affine: bool) -> None:
    torch.manual_seed(0)
    truth = nn.BatchNorm2d(4, affine=affine)
    shared, x = _SharedNorm(copy.deepcopy(truth)), torch.randn(8, 4, 5, 5).mul(3).add(1).to(dtype)
    both = [(x.clone().requires_grad_(), norm) for norm in (truth, shared)]
    outputs = [norm(images) for images, norm in both]
    for output in outputs:
        output.float().square().sum().backward()
    assert outputs[1].dtype == dtype
    torch.testing.assert_close(outputs[1], outputs[0])
    near = 1e-4 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(both[1][0].grad, both[0][0].grad, atol=near, rtol=0.02)
    torch.testing.assert_close(shared.state_dict(), truth.state_dict())


def test_statistics_that_are_not_tracked_stand_still() -> None:
    shared = _SharedNorm(nn.BatchNorm2d(4))
    before, shared.track_running_stats = copy.deepcopy(shared.state_dict()), False
    shared(torch.randn(8, 4, 5, 5) + 1)
    torch.testing.assert_close(shared.state_dict(), before, rtol=0, atol=0)
