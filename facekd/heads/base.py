"""The interface of heads: a head turns a network's outputs and labels into the loss on labels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional


class Head(nn.Module, ABC):
    """Turns outputs into logits during training; it is no part of the network that leaves training."""

    @abstractmethod
    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the logits for the cross entropy.

        Args:
            outputs: the network's outputs, [N, outputs], any float dtype.
            labels: the true classes, int64 [N], in [0, classes).

        Returns:
            [N, classes].
        """

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy of the logits plus the head's own penalty, if its paper has one.

        Args:
            outputs: the network's outputs, [N, outputs], any float dtype.
            labels: the true classes, int64 [N], in [0, classes).

        Returns:
            A scalar in float32, or in float64 for float64 logits.
        """
        logits: Tensor = self(outputs, labels)
        return functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)


class Softmax(Head):
    """Passes logits through unchanged; it has no weights."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits [N, classes] unchanged; the labels, int64 [N], are not used."""
        return logits
