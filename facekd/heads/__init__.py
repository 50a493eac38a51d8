"""Heads: outputs and labels in, logits for the cross entropy out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from facekd.config.options import resolve
from facekd.distributed import place
from facekd.errors import ModelError, nearest
from facekd.heads.adaface import AdaFace
from facekd.heads.base import Head, Softmax
from facekd.heads.curricularface import CurricularFace
from facekd.heads.magface import MagFace
from facekd.heads.margin import Margin
from facekd.heads.margin_head import MarginHead
from facekd.heads.margins import ArcFace, Combined, CosFace
from facekd.heads.partial_fc import ShardedHead

HEADS: dict[str, type[Margin]] = {
    "adaface": AdaFace, "arcface": ArcFace, "combined": Combined, "cosface": CosFace,
    "curricularface": CurricularFace, "magface": MagFace,
}
"""The margin heads by their margins; ``softmax`` is the one head without centres."""


def create_head(
    name: str, outputs: int, classes: int, scale: float = 64.0, margin: float | None = None, rate: float = 1.0,
    centres: int = 1, options: Mapping[str, Any] | None = None,
) -> Head:
    """Make a head, a margin head with fresh class centres; processes that train together each have a shard of them.

    All but ``outputs`` and ``classes`` have the names and defaults of `facekd.config.HeadRecipe`.

    Args:
        name: a key of ``HEADS``, or ``softmax``.
        outputs: length of the network's outputs; for ``softmax`` the number of classes.
        classes: of the training set, for faces people.
        scale: s, what a margin head's logits are multiplied by.
        margin: the option ``margin`` of heads that have one (radians; CosFace: a cosine); by default the head's own.
        rate: share of the classes that are negatives in a step, drawn by torch's seed (Partial FC).
        centres: K, centres a class (sub-centre ArcFace, under any margin).
        options: the margin's own, by name.

    Raises:
        ModelError: an unknown name or option, or a value that cannot be used.
    """
    if name == "softmax":
        if outputs != classes:
            raise ModelError(f"a softmax head needs one output a class: the network has {outputs}, the data {classes}")
        if centres != 1 or rate != 1 or options:
            raise ModelError("head softmax has no centres and no options; leave head.centres, .rate and .options out")
        return Softmax()
    if name not in HEADS:
        raise ModelError(f"unknown head '{name}': {nearest(name, [*HEADS, 'softmax'])}")
    kind, given = HEADS[name], dict(options or {})
    if margin is not None:
        if "margin" in given:
            raise ModelError(f"head {name}: margin is given twice, by itself and among the options; leave one out")
        given["margin"] = margin
    rule = kind(**resolve(kind, given, f"head {name}"))
    if rate == 1 and place()[1] == 1:
        return MarginHead(outputs, classes, rule, scale, centres)
    return ShardedHead(outputs, classes, rule, scale, centres, rate, torch.initial_seed())
