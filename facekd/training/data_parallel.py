"""Processes that train one method together, each on its part of every batch: DistributedDataParallel around it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from facekd.distributed import mean, place
from facekd.training.method import Method, Turn
from facekd.training.sharded_state import sharded


class Replicas:
    """Computes a method's turns; with several processes, backward passes average the gradients of all of them.

    Weights begin as they are on the first process. Class centres in shards belong to one process each, and are left
    alone: their head sees to its gradients itself.

    Args:
        method: what is trained, the same on every process.
    """

    def __init__(self, method: Method) -> None:
        self._turn, self._averaged = _Turn(method), None
        if place()[1] > 1:
            apart = [f"method.{name}" for name in sharded(method)]
            leave = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
            leave(self._turn, apart)  # type: ignore[no-untyped-call]
            self._averaged = DistributedDataParallel(
                self._turn, forward_sync_buffers=False, find_unused_parameters=not method.uses_all)

    def __call__(self, turn: Turn) -> Mapping[str, Tensor]:
        """The terms of a turn."""
        terms: Mapping[str, Tensor] = (self._averaged or self._turn)(turn)
        return terms

    def adding_up(self, last: bool) -> AbstractContextManager[None]:
        """The context of a turn and its backward pass: gradients go to the other processes with the last part only."""
        return nullcontext() if last or self._averaged is None else self._averaged.no_sync()


class _Turn(nn.Module):
    """What DistributedDataParallel wraps: whatever forward passes a turn makes lie between its two hooks."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, turn: Turn) -> dict[str, Tensor]:
        return turn()


@torch.no_grad()
def share_statistics(module: nn.Module) -> None:
    """Replace the running statistics of batch norms by their means over the processes; nothing where there is one."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None:
            mean(norm.running_mean)
            mean(norm.running_var)  # type: ignore[arg-type]
