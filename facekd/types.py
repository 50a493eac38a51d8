"""What is asked of networks about a batch, and what they say; losses compare a student's answer with a teacher's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """One network's answer.

    Attributes:
        outputs: float [N, D], embeddings or logits.
        maps: float [N, C, H, W] after each of the network's stages, shallow to deep; empty unless they were asked for.
        read: float [N, F], what a classifier's last layer reads; None unless it was asked for.
    """

    outputs: Tensor
    maps: tuple[Tensor, ...] = ()
    read: Tensor | None = None

    @property
    def features(self) -> Tensor:
        """Float [N, F]: what a classifier's last layer reads; of a face network the embedding itself."""
        return self.outputs if self.read is None else self.read


@dataclass(frozen=True)
class Question:
    """What is known of the images of a batch and of the training they are shown in.

    Attributes:
        labels: int64 [N], the true classes.
        index: int64 [N], the images' places in the training set, on the CPU.
        done: share of the training's steps that are done, from 0 to below 1.
    """

    labels: Tensor
    index: Tensor
    done: float = 0.0


@dataclass(frozen=True)
class Size:
    """How large the training set is, for losses that remember something of every image or class."""

    images: int
    classes: int
