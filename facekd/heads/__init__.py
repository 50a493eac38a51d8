"""Margin heads: embeddings and labels in, logits for the cross entropy out."""

from __future__ import annotations

from facekd.errors import ModelError, nearest
from facekd.heads.margins import ArcFace, CosFace, MarginHead

HEADS: dict[str, type[MarginHead]] = {"arcface": ArcFace, "cosface": CosFace}


def create_head(
    name: str, embedding: int, classes: int, scale: float = 64.0, margin: float | None = None
) -> MarginHead:
    """Make a margin head with fresh class centres.

    Args:
        name: a key of ``HEADS``.
        embedding: length of the embeddings.
        classes: number of identities.
        scale: s, what the cosines are multiplied by.
        margin: m; by default the head's own (``ArcFace`` 0.5 radians, ``CosFace`` 0.35).

    Raises:
        ModelError: an unknown name, or a value that cannot be used.
    """
    if name not in HEADS:
        raise ModelError(f"unknown head '{name}': {nearest(name, list(HEADS))}")
    kind = HEADS[name]
    return kind(embedding, classes, scale, kind.default_margin if margin is None else margin)
