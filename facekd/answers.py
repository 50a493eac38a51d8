"""What a network says of a batch; losses compare a student's answer with a teacher's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """One network's answer.

    Attributes:
        outputs: float [N, D], embeddings or logits.
        maps: float [N, C, H, W] after each of the network's stages, shallow to deep; empty unless they were asked for.
    """

    outputs: Tensor
    maps: tuple[Tensor, ...] = ()
