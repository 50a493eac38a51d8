"""Heads: they turn a network's outputs and labels into logits and the loss on labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facekd.config.options import resolve_options
from facekd.errors import ModelError, did_you_mean
from facekd.heads.adaface import AdaFace
from facekd.heads.base import Head, Softmax
from facekd.heads.curricularface import CurricularFace
from facekd.heads.magface import MagFace
from facekd.heads.margin import Margin
from facekd.heads.margin_head import MarginHead
from facekd.heads.margins import ArcFace, Combined, CosFace
from facekd.heads.partial_fc import PartialFCHead

HEADS: dict[str, type[Margin]] = {
    "adaface": AdaFace, "arcface": ArcFace, "combined": Combined, "cosface": CosFace,
    "curricularface": CurricularFace, "magface": MagFace,
}
"""The margins of the margin heads, by the head's name; ``softmax`` is the only head without class centers."""


def create_head(
    name: str, outputs: int, classes: int, *, scale: float = 64.0, margin: float | None = None,
    sample_rate: float = 1.0, sub_centers: int = 1, options: Mapping[str, Any] | None = None, world_size: int = 1,
    seed: int = 0,
) -> Head:
    """Create a head; a margin head has freshly initialized class centers.

    The arguments up to ``options`` have the names and defaults of `facekd.config.HeadRecipe`.

    Args:
        name: a key of ``HEADS``, or ``softmax``.
        outputs: the length of the network's outputs; for ``softmax`` the number of classes.
        classes: the number of classes of the training set, for face data the number of identities.
        scale: s, the factor of a margin head's logits.
        margin: the option ``margin`` of heads that have it (radians; CosFace: a cosine); by default the head's own.
        sample_rate: the share of the classes that are negatives in a step (Partial FC).
        sub_centers: K, the number of centers per class (sub-center ArcFace, with any margin).
        options: the other options of the margin, by name.
        world_size: the number of processes that train together; with more than one, each holds a shard of the classes.
        seed: the seed of the sampling of negatives; it must be equal in all processes.

    Raises:
        ModelError: an unknown name, or a value that cannot be used.
        OptionError: an unknown option, or an option with a value of the wrong type.
    """
    if name == "softmax":
        if outputs != classes:
            raise ModelError(f"a softmax head needs one output a class: the network has {outputs}, the data {classes}")
        if sub_centers != 1 or sample_rate != 1 or options:
            raise ModelError("head softmax has no class centers and no options; "
                             "leave head.sub_centers, .sample_rate and .options out")
        return Softmax()
    if name not in HEADS:
        raise ModelError(f"unknown head '{name}': {did_you_mean(name, [*HEADS, 'softmax'])}")
    margin_class = HEADS[name]
    values = dict(options or {})
    if margin is not None:
        if "margin" in values:
            raise ModelError(f"head {name}: margin is given twice, by itself and among the options; leave one out")
        values["margin"] = margin
    rule = margin_class(**resolve_options(margin_class, values, f"head {name}"))
    if sample_rate == 1 and world_size == 1:
        return MarginHead(outputs, classes, rule, scale, sub_centers)
    return PartialFCHead(outputs, classes, rule, scale, sub_centers, sample_rate=sample_rate, seed=seed)
