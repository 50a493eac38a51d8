"""Sharded class centers in checkpoints, in one process; `test_trainer_distributed.py` does it with several."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facekd.errors import ModelError
from facekd.heads.margins import ArcFace
from facekd.heads.partial_fc import PartialFCHead
from facekd.training.sharded_state import (
    gather_optimizer_state,
    gather_state,
    gradient_norm,
    shard_optimizer_state,
    shard_state,
    sharded_heads,
)


def build_method(classes: int = 6) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"student": nn.Linear(3, 4), "head": PartialFCHead(4, classes, ArcFace())})


def train_one_step(method: nn.ModuleDict) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)
    head = method["head"]
    assert isinstance(head, PartialFCHead)
    head.loss(method["student"](torch.randn(5, 3)), torch.arange(5)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return optimizer


def test_heads_are_named_by_their_centers() -> None:
    method = build_method()
    assert sharded_heads(method) == {"head.weight": method["head"]}
    assert sharded_heads(method["head"]) == {"weight": method["head"]}
    assert sharded_heads(method["student"]) == {}


def test_states_of_one_process_are_complete_and_come_back() -> None:
    method = build_method()
    optimizer = train_one_step(method)
    torch.testing.assert_close(gather_state(method), dict(method.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(shard_state(method, gather_state(method)), dict(method.state_dict()), rtol=0, atol=0)
    state = gather_optimizer_state(method, optimizer)
    assert state["state"][2]["momentum_buffer"].shape == (6, 4)
    restored = torch.optim.SGD(method.parameters(), lr=0.1, momentum=0.9)
    restored.load_state_dict(shard_optimizer_state(method, restored, state))
    for weight in method.parameters():
        assert torch.equal(restored.state[weight]["momentum_buffer"], optimizer.state[weight]["momentum_buffer"])


def test_a_state_of_other_classes_is_refused() -> None:
    method, other = build_method(), build_method(classes=7)
    with pytest.raises(ModelError, match="the state has 7 class centers and not 6"):
        shard_state(method, gather_state(other))
    with pytest.raises(ModelError, match="the state has 7 class centers and not 6"):
        shard_optimizer_state(method, train_one_step(method), gather_optimizer_state(other, train_one_step(other)))


def test_the_norm_is_that_of_all_gradients() -> None:
    method = build_method()
    train_one_step(method)
    weights = list(method.parameters())
    norm = torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None]).norm()
    torch.testing.assert_close(gradient_norm(method, weights), norm)
