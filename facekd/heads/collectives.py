"""Collective operations of a head whose classes are sharded over processes, with their gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, distributed

from facekd.distributed import get_rank, get_world_size


class ProcessGroupOps:
    """Collective operations within a process group; with one process each returns its input.

    Args:
        group: the processes that take part; by default all processes of the run.

    Attributes:
        rank: the rank of this process within the group.
        world_size: the number of processes in the group.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self.group = group
        if group is None:
            self.rank = get_rank()
            self.world_size = get_world_size()
        else:
            self.rank = distributed.get_rank(group)
            self.world_size = group.size()

    def all_reduce(self, value: Tensor, operation: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM) -> Tensor:
        """Reduce a tensor over all ranks, in place; every rank gets the same bits. The default operation is the sum."""
        if self.world_size > 1:
            distributed.all_reduce(value, operation, self.group)
        return value

    def all_gather(self, rows: Tensor) -> Tensor:
        """Concatenate the rows of all ranks in the order of ranks, without a gradient.

        Args:
            rows: [n, ...]; n must be equal on all ranks.

        Returns:
            [n * world_size, ...].
        """
        if self.world_size == 1:
            return rows
        all_rows = rows.new_empty(len(rows) * self.world_size, *rows.shape[1:])
        distributed.all_gather_single(all_rows, rows.contiguous(), self.group)
        return all_rows


class AllGather(torch.autograd.Function):
    """`ProcessGroupOps.all_gather` with a gradient.

    The gradient of the local rows is the sum of the gradients that all ranks have for them, times the number of ranks.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, process_group: ProcessGroupOps) -> Tensor:
        """Return the rows of all ranks."""
        ctx.process_group = process_group
        return process_group.all_gather(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the local rows."""
        group: ProcessGroupOps = ctx.process_group
        # DistributedDataParallel later divides by the number of ranks; the factor here makes up for that.
        return group.world_size * group.all_reduce(gradient.clone()).chunk(group.world_size)[group.rank], None


class ShardedCrossEntropy(torch.autograd.Function):
    """Mean cross entropy of a softmax over the classes of all shards.

    Inputs are the logits [N, C] of the local shard, where C may be 0; the column of each sample's target, int64 [N], or
    -1 where another shard holds the target; and the process group. The gradient is that of the local logits.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, columns: Tensor, process_group: ProcessGroupOps) -> Tensor:
        """Return the mean, a scalar, equal on every rank."""
        local = (columns >= 0).nonzero().squeeze(1)  # the samples whose target the local shard holds
        maximum = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -math.inf)
        logits = logits - process_group.all_reduce(maximum, distributed.ReduceOp.MAX).unsqueeze(1)
        # Each target is held by one rank, so the sum over ranks below is a broadcast of its logit.
        target = logits.new_zeros(len(logits)).index_put((local,), logits[local, columns[local]])
        exponentials = logits.exp_()
        # One all-reduce for both sums: communication is latency-bound at this size.
        total, target = process_group.all_reduce(torch.stack([exponentials.sum(1), target])).unbind()
        ctx.save_for_backward(exponentials.div_(total.unsqueeze(1)), local, columns[local])
        return (total.log() - target).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return (softmax - one-hot target) / N, times the incoming gradient."""
        probabilities, local, columns = ctx.saved_tensors
        per_sample = gradient / len(probabilities)
        logits = probabilities * per_sample
        logits[local, columns] -= per_sample
        return logits, None, None
