"""Batch norm for the parts that losses train."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Norm(nn.BatchNorm2d):
    """Batch norm; one value a channel, which has no variance, is normalised by the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.BatchNorm2d`."""
        if self.training and input.numel() == self.num_features:
            return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                                         eps=self.eps)
        return super().forward(input)
