"""From what a recipe says to the terms of a loss: names joined by ``+``, usual weights, and what is set on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facekd.config import LossRecipe
from facekd.errors import ModelError, nearest
from facekd.losses import kind_of, names

LABELS = "labels"
"""The term that needs no teacher: the cross entropy of the head's logits."""

PARTNERS = ("dml", "prokt")
"""Methods whose teacher is trained beside the student."""


@dataclass(frozen=True)
class Mixture:
    """What a student is trained by.

    Attributes:
        terms: by name, ``labels`` or a registered loss; each has a weight above 0.
        partner: ``prokt`` or ``dml`` where the teacher is trained too, else None.
    """

    terms: Mapping[str, LossRecipe]
    partner: str | None = None

    def looks_inside(self, closed: bool) -> bool:
        """Whether a term looks at more than the networks' outputs, so that teachers must run live.

        Args:
            closed: whether outputs are logits, and features therefore something else.
        """
        kinds = [kind_of(name) for name in self.terms if name != LABELS]
        return any(kind.maps or (kind.features and closed) for kind in kinds)


def mixture(method: str, losses: Mapping[str, LossRecipe], closed: bool) -> Mixture:
    """The terms a recipe means.

    Args:
        method: names of losses joined by ``+``, and ``prokt`` or ``dml`` among them; each loss comes with its usual
            weight, and labels with the smallest of those usual beside them. A loss that usually has a first stage to
            itself has it. Without names and losses it is ``kd`` for classes and ``l2`` for faces.
        losses: set on top; without a method they are all there is. A weight left out is the usual one.
        closed: whether the classes of the training set are those the network is for.

    Raises:
        ModelError: an unknown name, two partners, or a part of the training in which no term counts.
    """
    asked = [name.strip() for name in method.split("+")] if method.strip() else []
    if not asked and not losses:
        asked = ["kd" if closed else "l2"]
    known = sorted({*names(), *PARTNERS})
    for name in asked:
        if name not in known:
            raise ModelError(f"unknown method '{name}': {nearest(name, known)}")
    partners = [name for name in asked if name in PARTNERS]
    if len(partners) > 1:
        raise ModelError(f"method '{method}' names two ways to train a teacher beside the student; choose one")
    partner = partners[0] if partners else None
    terms = _usual([name for name in asked if name not in PARTNERS], partner, closed)
    for name, recipe in losses.items():
        usual = terms.get(name, LossRecipe())
        terms[name] = usual.model_copy(update=recipe.model_dump(exclude_unset=True))
    filled = {name: _filled(name, recipe, closed) for name, recipe in terms.items() if recipe.weight != 0}
    _demand_no_gap(filled)
    return Mixture(filled, partner)


def _usual(asked: list[str], partner: str | None, closed: bool) -> dict[str, LossRecipe]:
    """The terms of a method before anything is set on top."""
    kinds = {name: kind_of(name) for name in asked}
    terms = {name: LossRecipe(end=kind.first or 1.0) for name, kind in kinds.items()}
    begin = max([kind.first for kind in kinds.values()], default=0.0)
    labels = [0.0 if kind.alone and not closed else kind.labels for kind in kinds.values()]
    if partner:  # Zhang et al. (CVPR 2018) weigh both terms 1; ProKT's student sees no labels, unless kd brings them
        weight = None if partner == "prokt" and not closed else 1.0
        pull = LossRecipe(weight=weight, **({"temperature": 1.0} if closed else {}))
        terms = {"kd" if closed else "cosine": pull} | terms
        labels = [1.0 if partner == "dml" else kinds["kd"].labels if "kd" in kinds else 0.0]
    return {**terms, **({LABELS: LossRecipe(weight=min(labels), begin=begin)} if labels else {})}


def _filled(name: str, recipe: LossRecipe, closed: bool) -> LossRecipe:
    """With its weight; a weight left out is the usual one."""
    if recipe.weight is not None:
        return recipe
    return recipe.model_copy(update={"weight": 1.0 if name == LABELS else kind_of(name).usual_weight(closed)})


def _demand_no_gap(terms: Mapping[str, LossRecipe]) -> None:
    """Some term must count at every moment, and every term at some."""
    for name, recipe in terms.items():
        if recipe.begin >= recipe.end:
            raise ModelError(f"losses.{name} would never count: it begins at {recipe.begin:g} and ends at "
                             f"{recipe.end:g} of the training")
    reached = 0.0
    for recipe in sorted(terms.values(), key=lambda recipe: recipe.begin):
        if recipe.begin > reached:
            break
        reached = max(reached, recipe.end)
    if terms and reached < 1:
        raise ModelError(f"losses: no term counts when {reached:.0%} of the training is done; let one begin there")
