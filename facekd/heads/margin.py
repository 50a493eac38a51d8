"""The contract of a margin, which a head that holds all classes and one that holds a shard of them call alike."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from facekd.errors import ModelError


class Margin(nn.Module, ABC):
    """The rule that makes a target's cosine harder to reach; it knows nothing of centres, scale or processes.

    A head takes these steps with a batch of N embeddings:

    1. ``cosines`` of the embeddings with the classes it holds, and their ``norms`` (`facekd.heads.margin_head`).
    2. The target's cosine of every embedding, wherever that class lies. Of a class in another shard it is a number that
       was sent, without a gradient: the shard that holds the class sends the gradient.
    3. In training, and once a batch: ``observe`` the target's cosines and norms of the whole batch.
    4. ``logits`` of the classes it holds, times the scale.
    5. To the cross entropy it adds the mean of ``penalty`` over the whole batch.

    So nobody averages statistics of several processes. Each of them has gathered the batch for step 1, since its
    classes meet every embedding; all observe the same, and hold the same statistics, bit for bit. They are buffers, and
    with them in a checkpoint.

    Options are the keyword-only arguments of ``__init__``, each with a default.
    """

    @torch.no_grad()
    def observe(self, target: Tensor, norms: Tensor) -> None:
        """Keep running statistics of a batch up to date; a margin without statistics does nothing.

        Args:
            target: [N], the cosine of every embedding of the whole batch with its own class.
            norms: [N], the lengths of these embeddings.
        """

    @abstractmethod
    def target(self, cos: Tensor, norms: Tensor) -> Tensor:
        """The target's logit, without the scale.

        Args:
            cos: the target's cosines, [N].
            norms: lengths of the embeddings, [N]; all in one float dtype, float32 or float64.

        Returns:
            Same shape and dtype; value and gradient are finite for every cosine in [-1, 1].
        """

    def others(self, cos: Tensor, target: Tensor) -> Tensor:
        """The logits of classes that are not the target, without the scale; as they are unless a margin says otherwise.

        Args:
            cos: [N, C], cosines with any C classes; a column of the target may be among them.
            target: [N], what ``target`` gave.

        Returns:
            [N, C], same dtype.
        """
        return cos

    def penalty(self, norms: Tensor) -> Tensor:
        """What the loss of each sample has besides the cross entropy: [N], of the lengths [N] of embeddings."""
        return torch.zeros_like(norms)

    def logits(self, cos: Tensor, labels: Tensor, target: Tensor, norms: Tensor) -> Tensor:
        """The logits of the classes of one shard, without the scale.

        Args:
            cos: [N, C], cosines with the classes of the shard.
            labels: int64 [N], the target's column in ``cos``; -1 where the target lies in another shard.
            target: [N], the target's cosines, wherever their classes lie.
            norms: [N], lengths of the embeddings.

        Returns:
            [N, C], same dtype.
        """
        harder = self.target(target, norms)
        block, column = self.others(cos, harder), labels.clamp(min=0).unsqueeze(1)
        own = torch.where(labels.unsqueeze(1) >= 0, harder.unsqueeze(1), block.gather(1, column))
        return block.scatter(1, column, own)


def checked_angle(margin: float) -> float:
    """A margin as it is, in [0, pi / 2).

    Raises:
        ModelError: it is not.
    """
    if not 0 <= margin < math.pi / 2:
        raise ModelError(f"head: margin must be in [0, pi/2), not {margin}")
    return margin


def checked_share(rate: float) -> float:
    """The share of the newest batch in a running mean, in (0, 1].

    Raises:
        ModelError: it is not.
    """
    if not 0 < rate <= 1:
        raise ModelError(f"head: rate must be above 0 and at most 1, not {rate}")
    return rate
