"""The interface of margins: both the full head and the sharded head use it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from facekd.errors import ModelError


class Margin(nn.Module, ABC):
    """The rule that lowers the target's logit; it does not depend on class centers, scale or number of processes.

    For a batch of N embeddings a head takes these steps:

    1. It computes the cosines of the embeddings with the classes it holds, and the lengths of the embeddings
       (`facekd.heads.margin_head`).
    2. It collects the target's cosine of every embedding. If another shard holds the target, the cosine comes from
       there as a number without a gradient; the shard that holds the class contributes the gradient.
    3. In training, once a batch, it calls ``update_statistics`` with the target cosines and lengths of the whole batch.
    4. It calls ``logits`` for the classes it holds, and multiplies the result by the scale.
    5. It adds the mean of ``penalty`` over the whole batch to the cross entropy.

    Running statistics therefore need no synchronization: every process gathers the whole batch for step 1, since its
    classes meet every embedding, and so all processes compute the same statistics, bit for bit. They are buffers, so
    checkpoints include them.

    Options are the keyword-only arguments of ``__init__``, each with a default.
    """

    @torch.no_grad()
    def update_statistics(self, target: Tensor, norms: Tensor) -> None:
        """Update running statistics with a batch; a margin without statistics does nothing.

        Args:
            target: the cosine of every embedding of the whole batch with its own class, [N].
            norms: the lengths of these embeddings, [N].
        """

    @abstractmethod
    def target_logit(self, cos: Tensor, norms: Tensor) -> Tensor:
        """Return the target's logit before the scale.

        Args:
            cos: the target's cosines, [N], float32 or float64.
            norms: the lengths of the embeddings, [N], same dtype.

        Returns:
            [N], same dtype; value and gradient are finite for every cosine in [-1, 1].
        """

    def other_logits(self, cos: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the classes that are not the target, before the scale; by default the cosines.

        Args:
            cos: cosines with any C classes, [N, C]; the target's column may be among them.
            target: the result of ``target_logit``, [N].

        Returns:
            [N, C], same dtype.
        """
        return cos

    def penalty(self, norms: Tensor) -> Tensor:
        """Return the term that the loss of each sample has besides the cross entropy, [N].

        Args:
            norms: the lengths of the embeddings, [N].
        """
        return torch.zeros_like(norms)

    def logits(self, cos: Tensor, labels: Tensor, target: Tensor, norms: Tensor) -> Tensor:
        """Return the logits of the classes of one shard, before the scale.

        Args:
            cos: cosines with the classes of the shard, [N, C].
            labels: the target's column in ``cos``, int64 [N]; -1 where another shard holds the target.
            target: the target's cosines, [N], whichever shard holds the classes.
            norms: the lengths of the embeddings, [N].

        Returns:
            [N, C], same dtype.
        """
        target_logits = self.target_logit(target, norms)
        logits = self.other_logits(cos, target_logits)
        column = labels.clamp(min=0).unsqueeze(1)  # `scatter` needs a valid column; -1 rewrites column 0 with itself
        is_local = labels.unsqueeze(1) >= 0
        replacement = torch.where(is_local, target_logits.unsqueeze(1), logits.gather(1, column))
        return logits.scatter(1, column, replacement)


def check_angle(margin: float) -> float:
    """Return a margin in [0, pi / 2) unchanged.

    Raises:
        ModelError: the margin is outside of this range.
    """
    if not 0 <= margin < math.pi / 2:
        raise ModelError(f"head: margin must be in [0, pi/2), not {margin}")
    return margin


def check_rate(rate: float) -> float:
    """Return a rate in (0, 1] unchanged.

    Raises:
        ModelError: the rate is outside of this range.
    """
    if not 0 < rate <= 1:
        raise ModelError(f"head: rate must be above 0 and at most 1, not {rate}")
    return rate
