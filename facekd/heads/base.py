"""The contract of a head: a network's outputs and labels in, the loss on labels out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional


class Head(nn.Module, ABC):
    """Stands between a network and its labels in training, and is left behind afterwards."""

    @abstractmethod
    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Logits for the cross entropy.

        Args:
            outputs: [N, outputs] of the network, any float dtype.
            labels: int64 [N], in [0, classes).

        Returns:
            [N, classes].
        """

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What training minimises: the mean cross entropy of the logits, and whatever else the head's paper adds.

        Args:
            outputs: as for ``forward``.
            labels: likewise.

        Returns:
            A scalar in float32, or in float64 for float64 logits.
        """
        logits: Tensor = self(outputs, labels)
        return functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)


class Softmax(Head):
    """Passes logits on; it stands where a margin head would, and has nothing to train."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [N, classes] as they are; ``labels``, int64 [N], do not matter."""
        return logits
