"""Batch norm for the modules that losses train."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SafeBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that uses its running statistics where a batch has only one value per channel, hence no variance."""

    def forward(self, input: Tensor) -> Tensor:
        """See `nn.BatchNorm2d`."""
        if self.training and input.numel() == self.num_features:
            return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                                         eps=self.eps)
        return super().forward(input)
