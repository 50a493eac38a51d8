"""The plain head of closed sets: the network's outputs are the logits already."""

from __future__ import annotations

from torch import Tensor

from facekd.heads.head import Head


class Softmax(Head):
    """Passes logits on; it stands where a margin head would, and has nothing to train."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [N, classes] as they are; ``labels``, int64 [N], do not matter."""
        return logits
