"""Losses that bring a student's answers to a teacher's."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from facekd.losses.embeddings import cosine, l2

EmbeddingLoss = Callable[[Tensor, Tensor], Tensor]
"""From student and teacher embeddings, both [N, D], to one number; the teacher receives no gradient."""

EMBEDDING_LOSSES: dict[str, EmbeddingLoss] = {"l2": l2, "cosine": cosine}
