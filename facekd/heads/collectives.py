"""What ranks that share the classes of a head tell each other, and how gradients follow."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, distributed

from facekd.distributed import place


class Sharers:
    """The ranks of a process group, by default all that there are; one that is alone tells nobody.

    Attributes:
        rank: of this process, among them.
        world: their number.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank, self.world = place() if group is None else (distributed.get_rank(group), group.size())

    def reduced(self, value: Tensor, operation: distributed.ReduceOp.RedOpType = distributed.ReduceOp.SUM) -> Tensor:
        """The sum of what all ranks bring, or another operation; the same bits on every rank, in place."""
        if self.world > 1:
            distributed.all_reduce(value, operation, self.group)
        return value

    def gathered(self, rows: Tensor) -> Tensor:
        """The rows [n, ...] of all ranks in their order, [n * world, ...], without a gradient; n is one for all."""
        if self.world == 1:
            return rows
        whole = rows.new_empty(len(rows) * self.world, *rows.shape[1:])
        distributed.all_gather_single(whole, rows.contiguous(), self.group)
        return whole


class Gather(torch.autograd.Function):
    """``Sharers.gathered``; backwards the sum of all ranks' gradients of the own rows, times the number of ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sharers: Sharers) -> Tensor:
        """The rows of all ranks."""
        ctx.sharers = sharers
        return sharers.gathered(rows)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """The gradient of the own rows."""
        sharers: Sharers = ctx.sharers
        return sharers.world * sharers.reduced(slope.clone()).chunk(sharers.world)[sharers.rank], None


class CrossEntropy(torch.autograd.Function):
    """Mean cross entropy under the softmax over all shards.

    Its inputs are the logits [N, C] of one shard, where C may be 0; the targets' columns in them, int64 [N], -1 where
    the target lies in another shard; and the sharers. The gradient is that of the shard's logits.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, places: Tensor, sharers: Sharers) -> Tensor:
        """The mean, a scalar, the same on every rank."""
        here = (places >= 0).nonzero().squeeze(1)
        largest = logits.amax(1) if logits.shape[1] else logits.new_full((len(logits),), -math.inf)
        logits = logits - sharers.reduced(largest, distributed.ReduceOp.MAX).unsqueeze(1)
        target = logits.new_zeros(len(logits)).index_put((here,), logits[here, places[here]])
        share = logits.exp_()
        total, target = sharers.reduced(torch.stack([share.sum(1), target])).unbind()
        ctx.save_for_backward(share.div_(total.unsqueeze(1)), here, places[here])
        return (total.log() - target).mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        """Softmax less one at the target, over N."""
        share, here, places = ctx.saved_tensors
        each = slope / len(share)
        logits = share * each
        logits[here, places] -= each
        return logits, None, None
