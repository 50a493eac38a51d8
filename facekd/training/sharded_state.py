"""Checkpoints of class centers that are sharded over ranks: complete in the file, one shard in each process.

All ranks must call the ``gather`` functions together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from facekd.distributed import get_world_size
from facekd.heads.partial_fc import PartialFCHead

State = dict[str, Any]


def sharded_heads(module: nn.Module) -> dict[str, PartialFCHead]:
    """Return the heads whose class centers are sharded, by the name of their centers in ``module``."""
    return {f"{name}.weight".lstrip("."): head for name, head in module.named_modules()
            if isinstance(head, PartialFCHead)}


def gather_state(method: nn.Module) -> State:
    """Return the state dict of a method with the centers of all shards; only rank 0 gets the complete centers."""
    state = method.state_dict()
    for name, head in sharded_heads(method).items():
        state[name] = _gather_rows(head, state[name])
    return state


def shard_state(method: nn.Module, state: State) -> State:
    """Return the state of `gather_state` with this rank's shard of the centers; the number of ranks may have changed.

    Raises:
        ModelError: the state has another number of classes.
    """
    heads = sharded_heads(method)
    return {name: heads[name].shard_rows(value) if name in heads else value for name, value in state.items()}


def gather_optimizer_state(method: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Return the state dict of the optimizer with the rows of all shards; only rank 0 gets the complete rows."""
    state = optimizer.state_dict()
    for index, head in _heads_by_parameter_index(method, optimizer).items():
        values = state["state"].get(index, {})
        # Sorted by name, because all ranks must gather in the same order.
        state["state"][index] = {name: _gather_rows(head, values[name]) if _has_rows(values[name]) else values[name]
                                 for name in sorted(values)}
    return state


def shard_optimizer_state(method: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> State:
    """Return the state of `gather_optimizer_state` with this rank's shard of the rows.

    Raises:
        ModelError: the state has another number of classes.
    """
    sharded = {**state, "state": dict(state["state"])}
    for index, head in _heads_by_parameter_index(method, optimizer).items():
        values = sharded["state"].get(index, {})
        sharded["state"][index] = {name: head.shard_rows(value) if _has_rows(value) else value
                                   for name, value in values.items()}
    return sharded


def gradient_norm(module: nn.Module, weights: Sequence[nn.Parameter]) -> Tensor:
    """Return the L2 norm of the gradients of ``weights``; for a sharded head, over the shards of all ranks.

    Args:
        module: the submodule of a method that the weights belong to.
        weights: its weights that have a gradient.
    """
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if get_world_size() > 1 and sharded_heads(module):
        norm = norm.square()
        distributed.all_reduce(norm)
        norm = norm.sqrt()
    return norm


def _heads_by_parameter_index(method: nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, PartialFCHead]:
    """Return the sharded heads by the index of their centers in the optimizer's state dict."""
    heads = {id(head.weight): head for head in sharded_heads(method).values()}
    parameters = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    return {index: heads[parameter] for index, parameter in enumerate(parameters) if parameter in heads}


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _gather_rows(head: PartialFCHead, rows: Tensor) -> Tensor:
    """Gather on the CPU, whose memory holds all rows; ranks other than 0 get their own rows."""
    all_rows = head.gather_rows(rows.detach().cpu())
    return rows if all_rows is None else all_rows
