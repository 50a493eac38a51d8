"""Batch norm statistics in distributed runs.

`convert_sync_batchnorm` makes the statistics those of the batches of all ranks. On CUDA it uses torch's SyncBatchNorm;
that refuses CPU tensors, for which `CpuSyncBatchNorm` is written. `average_batchnorm_statistics` is for ordinary batch
norms, whose running statistics differ between ranks.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from facekd.distributed import all_reduce_mean, get_world_size

BatchNorm = nn.modules.batchnorm._BatchNorm


def convert_sync_batchnorm(network: nn.Module, device: torch.device) -> None:
    """Replace the batch norms of a network, in place, by ones that use the statistics of all ranks together.

    Names, weights and statistics stay the same; with one process nothing is replaced. Every rank must have equally
    many images in each forward pass in training.
    """
    if get_world_size() == 1:
        return
    for name, module in network.named_children():
        if not isinstance(module, BatchNorm):
            convert_sync_batchnorm(module, device)
        elif device.type == "cuda":
            setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]
        else:
            setattr(network, name, CpuSyncBatchNorm(module))


@torch.no_grad()
def average_batchnorm_statistics(*modules: nn.Module | None) -> None:
    """Replace the running statistics of batch norms by their means over all ranks, in place; None is left out."""
    for norm in (norm for module in modules if module is not None for norm in module.modules()):
        if isinstance(norm, BatchNorm) and norm.running_mean is not None:
            all_reduce_mean(norm.running_mean)
            all_reduce_mean(norm.running_var)  # type: ignore[arg-type]


class CpuSyncBatchNorm(BatchNorm):
    """A synchronized batch norm over [N, C, ...].

    Args:
        norm: the batch norm whose weights and statistics it takes over.
    """

    def __init__(self, norm: BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.weight = norm.weight
        self.bias = norm.bias
        self.running_mean = norm.running_mean
        self.running_var = norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.training = norm.training

    def forward(self, input: Tensor) -> Tensor:
        """Normalize by the mean and biased variance over all ranks; in evaluation mode by the running statistics."""
        if not self.training:
            return super().forward(input)
        # As in torch, at least float32: sums in 16 bits are too coarse.
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        reduced_axes = [axis for axis in range(values.ndim) if axis != 1]
        count = values.numel() // values.shape[1] * get_world_size()
        mean = all_reduce_sum(values.sum(reduced_axes)) / count
        centered = values - _per_channel(mean, values)
        variance = all_reduce_sum((centered * centered).sum(reduced_axes)) / count
        if self.track_running_stats:
            self._update_running_statistics(mean.detach(), variance.detach(), count)
        normalized = centered * _per_channel((variance + self.eps).rsqrt(), values)
        if self.affine:
            normalized = normalized * _per_channel(self.weight, values) + _per_channel(self.bias, values)
        return normalized.to(input.dtype)

    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), momentum)

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions; called by the base class in evaluation mode."""


def all_reduce_sum(value: Tensor) -> Tensor:
    """Return the sum of ``value`` over all ranks; its gradient is the sum of the gradients of all ranks."""
    return cast(Tensor, _AllReduceSum.apply(value))  # type: ignore[no-untyped-call]


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Return the sum over all ranks."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients: the loss of every rank depends on the input of every rank."""
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Reshape [C] so that it broadcasts to the shape [N, C, ...] of ``like``."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
