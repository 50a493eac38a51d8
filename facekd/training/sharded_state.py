"""Class centres that lie in shards, one in each process, as a checkpoint holds them: whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from facekd.distributed import place
from facekd.heads.partial_fc import ShardedHead

State = dict[str, Any]


def sharded(method: nn.Module) -> dict[str, ShardedHead]:
    """The heads whose classes lie in shards, by the names of their centres."""
    return {f"{name}.weight".lstrip("."): module for name, module in method.named_modules()
            if isinstance(module, ShardedHead)}


def whole_state(method: nn.Module) -> State:
    """The state dict with the centres of all shards, in the first process; all processes call this together."""
    state = method.state_dict()
    for name, head in sharded(method).items():
        state[name] = _whole(head, state[name])
    return state


def own_state(method: nn.Module, whole: State) -> State:
    """What `whole_state` gave, maybe to another number of processes, with the centres of this one's shard alone.

    Raises:
        ModelError: it is of another number of classes.
    """
    heads = sharded(method)
    return {name: heads[name].own_part(value) if name in heads else value for name, value in whole.items()}


def whole_optimizer(method: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """The optimiser's state dict, likewise."""
    state = optimizer.state_dict()
    for number, head in _numbers(method, optimizer).items():
        kept = state["state"].get(number, {})
        state["state"][number] = {name: _whole(head, kept[name]) if _is_rows(kept[name]) else kept[name]
                                  for name in sorted(kept)}
    return state


def own_optimizer(method: nn.Module, optimizer: torch.optim.Optimizer, whole: State) -> State:
    """What `whole_optimizer` gave, likewise."""
    state = {**whole, "state": dict(whole["state"])}
    for number, head in _numbers(method, optimizer).items():
        kept = state["state"].get(number, {})
        state["state"][number] = {name: head.own_part(value) if _is_rows(value) else value
                                  for name, value in kept.items()}
    return state


def gradient_norm(part: nn.Module, weights: Sequence[nn.Parameter]) -> Tensor:
    """The norm of the gradients of a part of a method; of a head in shards, that of all shards together."""
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if place()[1] > 1 and sharded(part):
        norm = norm.square()
        distributed.all_reduce(norm)
        norm = norm.sqrt()
    return norm


def _numbers(method: nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, ShardedHead]:
    """The heads, by the number that the optimiser's state dict knows their centres by."""
    heads = {id(head.weight): head for head in sharded(method).values()}
    weights = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    return {number: heads[weight] for number, weight in enumerate(weights) if weight in heads}


def _is_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _whole(head: ShardedHead, rows: Tensor) -> Tensor:
    """On the CPU, where there is room for all; a process that is not the first keeps its own."""
    whole = head.gathered(rows.detach().cpu())
    return rows if whole is None else whole
