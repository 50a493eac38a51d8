"""Synchronized batch norm in one process; `test_trainer_distributed.py` runs it in several."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facekd.training.sync_batchnorm import (
    CpuSyncBatchNorm,
    average_batchnorm_statistics,
    convert_sync_batchnorm,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("affine", [True, False])
def test_alone_it_is_torchs_own_in_any_precision(dtype: torch.dtype, affine: bool) -> None:
    torch.manual_seed(0)
    truth = nn.BatchNorm2d(4, affine=affine)
    shared, x = CpuSyncBatchNorm(copy.deepcopy(truth)), torch.randn(8, 4, 5, 5).mul(3).add(1).to(dtype)
    inputs = [(x.clone().requires_grad_(), norm) for norm in (truth, shared)]
    outputs = [norm(images) for images, norm in inputs]
    for output in outputs:
        output.float().square().sum().backward()
    assert outputs[1].dtype == dtype
    torch.testing.assert_close(outputs[1], outputs[0])
    tolerance = 1e-4 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(inputs[1][0].grad, inputs[0][0].grad, atol=tolerance, rtol=0.02)
    torch.testing.assert_close(shared.state_dict(), truth.state_dict())


def test_statistics_that_are_not_tracked_stand_still() -> None:
    shared = CpuSyncBatchNorm(nn.BatchNorm2d(4))
    before, shared.track_running_stats = copy.deepcopy(shared.state_dict()), False
    shared(torch.randn(8, 4, 5, 5) + 1)
    torch.testing.assert_close(shared.state_dict(), before, rtol=0, atol=0)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)))


def test_with_one_process_no_norm_is_replaced() -> None:
    single = network()
    convert_sync_batchnorm(single, torch.device("cpu"))
    assert [type(module) for module in single.modules()] == [type(module) for module in network().modules()]


def test_all_norms_are_replaced_with_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.training.sync_batchnorm.get_world_size", lambda: 2)
    converted = network()
    state = copy.deepcopy(converted.state_dict())
    convert_sync_batchnorm(converted, torch.device("cpu"))
    norms = [module for module in converted.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert [type(norm) for norm in norms] == [CpuSyncBatchNorm, CpuSyncBatchNorm]
    torch.testing.assert_close(converted.state_dict(), state, rtol=0, atol=0)


def test_running_statistics_become_their_means_over_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.training.sync_batchnorm.all_reduce_mean", lambda value: value.mul_(0.5))
    averaged = network()
    average_batchnorm_statistics(averaged)
    assert torch.equal(averaged.get_buffer("1.running_var"), torch.full((4,), 0.5))
    assert torch.equal(averaged.get_buffer("2.1.running_var"), torch.full((2,), 0.5))
    assert torch.equal(averaged.get_parameter("1.weight"), torch.ones(4))
