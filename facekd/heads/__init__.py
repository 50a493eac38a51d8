"""Heads: outputs and labels in, logits for the cross entropy out."""

from __future__ import annotations

from facekd.errors import ModelError, nearest
from facekd.heads.margins import ArcFace, CosFace, MarginHead
from facekd.heads.softmax import Softmax

HEADS: dict[str, type[MarginHead]] = {"arcface": ArcFace, "cosface": CosFace}
"""The margin heads; ``softmax`` is the one head without centres."""


def create_head(
    name: str, outputs: int, classes: int, scale: float = 64.0, margin: float | None = None
) -> MarginHead | Softmax:
    """Make a head, a margin head with fresh class centres.

    Args:
        name: a key of ``HEADS``, or ``softmax``.
        outputs: length of the network's outputs; for ``softmax`` the number of classes.
        classes: of the training set, for faces people.
        scale: s, what a margin head's cosines are multiplied by.
        margin: m; by default the head's own (``ArcFace`` 0.5 radians, ``CosFace`` 0.35).

    Raises:
        ModelError: an unknown name, or a value that cannot be used.
    """
    if name == "softmax":
        if outputs != classes:
            raise ModelError(f"a softmax head needs one output a class: the network has {outputs}, the data {classes}")
        return Softmax()
    if name not in HEADS:
        raise ModelError(f"unknown head '{name}': {nearest(name, [*HEADS, 'softmax'])}")
    kind = HEADS[name]
    return kind(outputs, classes, scale, kind.default_margin if margin is None else margin)
