"""Batch norm whose statistics are those of the whole batch, where processes share one.

On CUDA it is torch's SyncBatchNorm; that refuses tensors of a CPU, for which this is.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from facekd.distributed import place


def share_norms(network: nn.Module, device: torch.device) -> None:
    """Replace a network's batch norms, in place, by such that take the statistics of all processes' parts together.

    Names, weights and statistics stay; with one process there is nothing to do. Each process must bring equally many
    images to every forward pass in training.
    """
    if place()[1] == 1:
        return
    for name, module in network.named_children():
        if not isinstance(module, nn.modules.batchnorm._BatchNorm):
            share_norms(module, device)
        elif device.type == "cuda":
            synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
            setattr(network, name, synchronised)
        else:
            setattr(network, name, _SharedNorm(module))


class _SharedNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm over [N, C, ...] with the weights and statistics of ``own``, which it takes over."""

    def __init__(self, own: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(own.num_features, own.eps, own.momentum, own.affine, own.track_running_stats)
        self.weight, self.bias = own.weight, own.bias
        self.running_mean, self.running_var = own.running_mean, own.running_var
        self.num_batches_tracked = own.num_batches_tracked
        self.training = own.training

    def forward(self, input: Tensor) -> Tensor:
        """Normalised by mean and biased variance of all processes' parts; in evaluation by the running ones."""
        if not self.training:
            return super().forward(input)
        exact = input.to(torch.promote_types(input.dtype, torch.float32))  # as torch's own: sums of 16 bits are coarse
        along = [axis for axis in range(exact.ndim) if axis != 1]
        count = exact.numel() // exact.shape[1] * place()[1]
        mean = summed(exact.sum(along)) / count
        centred = exact - _across(mean, exact)
        variance = summed((centred * centred).sum(along)) / count
        if self.track_running_stats:
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(variance.detach() * (count / (count - 1)), share)
        normal = centred * _across((variance + self.eps).rsqrt(), exact)
        if self.affine:
            normal = normal * _across(self.weight, exact) + _across(self.bias, exact)
        return normal.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


def summed(value: Tensor) -> Tensor:
    """The sum of what all processes bring; its gradient is the sum of their gradients."""
    return cast(Tensor, _Sum.apply(value))  # type: ignore[no-untyped-call]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The sum over the processes."""
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        """Every process's loss hangs on every process's part."""
        slope = slope.clone()
        distributed.all_reduce(slope)
        return slope


def _across(values: Tensor, like: Tensor) -> Tensor:
    """One number a channel, to be combined with [N, C, ...]."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
