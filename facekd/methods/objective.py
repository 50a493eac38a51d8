"""The objective of a student: the loss terms that a recipe's method and losses describe, with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facekd.config import LossRecipe
from facekd.data.image_set import ImageSet
from facekd.data.unlabeled import require_labels
from facekd.errors import ModelError, did_you_mean
from facekd.losses import get_loss_class, list_losses
from facekd.methods.online_registry import ONLINE_METHODS, OnlineMethod

LABELS = "labels"
"""The term without a teacher: the cross entropy of the head's logits."""


@dataclass(frozen=True)
class Objective:
    """The training objective of a student.

    Attributes:
        terms: the terms by name, ``labels`` or a registered loss; each has a weight above 0.
        joint_teacher: ``prokt`` or ``dml`` if the teacher is trained too, else None.
    """

    terms: Mapping[str, LossRecipe]
    joint_teacher: str | None = None

    @property
    def terms_on_labels(self) -> list[str]:
        """The names of the terms that use labels; the method first, if it trains a teacher on them."""
        names = [name for name in self.terms if name == LABELS or get_loss_class(name).uses_labels]
        return [self.joint_teacher, *names] if self.joint_teacher else names

    @property
    def follows_embeddings(self) -> bool:
        """Whether a term pulls embeddings to a frozen teacher's until the end: the student learns its space."""
        lasting = [name for name, recipe in self.terms.items() if name != LABELS and recipe.end == 1]
        return self.joint_teacher is None and any(get_loss_class(name).follows_embeddings for name in lasting)

    def needs_live_teacher(self, closed_set: bool) -> bool:
        """Return whether a term uses more than the networks' outputs, which are the only thing a cache contains.

        Args:
            closed_set: whether outputs are logits, so that features are different from outputs.
        """
        loss_classes = [get_loss_class(name) for name in self.terms if name != LABELS]
        return any(loss.needs_feature_maps or (loss.needs_features and closed_set) for loss in loss_classes)

    def describe(self) -> str:
        """Return the terms in one line, e.g. ``kd 0.9 (temperature 4) + labels 0.1``."""
        names = [self.joint_teacher] if self.joint_teacher else []
        return " + ".join([*names, *(_describe_term(name, term) for name, term in sorted(self.terms.items()))])


def check_objective_labels(objective: Objective, images: ImageSet) -> None:
    """Refuse a training set without labels if a term of the objective uses them.

    Raises:
        DataError: the set has no labels; the message names the terms.
    """
    if names := objective.terms_on_labels:
        remedy = "set losses.labels=0" if names == [LABELS] else "use a method without labels (method=l2 or cosine)"
        require_labels(images, f"the objective ({', '.join(names)})", remedy)


def _describe_term(name: str, term: LossRecipe) -> str:
    options = {**term.options, **term.model_dump(include={"begin", "end"}, exclude_defaults=True)}
    options_text = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{name} {term.weight:g}" + (f" ({options_text})" if options else "")


def parse_objective(method: str, losses: Mapping[str, LossRecipe], closed_set: bool) -> Objective:
    """Return the objective that a recipe describes.

    Args:
        method: names of losses joined by ``+``, optionally with ``prokt`` or ``dml``. Each loss has its default weight,
            and the labels have the smallest of the label weights of these losses. A loss with a warm-up share trains
            alone during it. Without a method and losses it is ``kd`` for classes and ``l2`` for faces.
        losses: terms that override or extend those of the method; without a method they are the only terms. A term
            without a weight has its default weight.
        closed_set: whether the network classifies the classes of the training set.

    Raises:
        ModelError: an unknown name, two online methods, or a share of the training without any active term.
    """
    names = [name.strip() for name in method.split("+")] if method.strip() else []
    if not names and not losses:
        names = ["kd" if closed_set else "l2"]
    known_names = sorted({*list_losses(), *ONLINE_METHODS})
    for name in names:
        if name not in known_names:
            raise ModelError(f"unknown method '{name}': {did_you_mean(name, known_names)}")
    online_names = [name for name in names if name in ONLINE_METHODS]
    if len(online_names) > 1:
        raise ModelError(f"method '{method}' names two ways to train a teacher jointly with the student; choose one")
    online = ONLINE_METHODS[online_names[0]] if online_names else None
    terms = default_terms([name for name in names if name not in ONLINE_METHODS], online, closed_set)
    for name, recipe in losses.items():
        default = terms.get(name, LossRecipe())
        terms[name] = default.model_copy(update=recipe.model_dump(exclude_unset=True))
    terms = {name: _with_weight(name, recipe, closed_set) for name, recipe in terms.items() if recipe.weight != 0}
    _check_coverage(terms)
    return Objective(terms, online.name if online else None)


def default_terms(names: Sequence[str], online: OnlineMethod | None, closed_set: bool) -> dict[str, LossRecipe]:
    """Return the terms of a method before the losses of a recipe are applied.

    Args:
        names: the losses of the method.
        online: the online method, or None.
        closed_set: whether the outputs are logits.
    """
    loss_classes = {name: get_loss_class(name) for name in names}
    terms = {name: LossRecipe(end=loss.warmup_share or 1.0) for name, loss in loss_classes.items()}
    if online:
        terms = _imitation_term(online, closed_set) | terms
        label_weight = online.label_weight
        if label_weight is None:  # the student sees no labels, unless kd brings them
            label_weight = loss_classes["kd"].label_weight if "kd" in loss_classes else 0.0
        label_weights = [label_weight]
    else:
        label_weights = [0.0 if loss.works_without_label_term and not closed_set else loss.label_weight
                         for loss in loss_classes.values()]
    if label_weights:
        begin = max([loss.warmup_share for loss in loss_classes.values()], default=0.0)
        terms[LABELS] = LossRecipe(weight=min(label_weights), begin=begin)
    return terms


def _imitation_term(online: OnlineMethod, closed_set: bool) -> dict[str, LossRecipe]:
    """Return the term by which the student of an online method follows its teacher."""
    if closed_set:
        return {"kd": LossRecipe.model_validate({"weight": 1.0, "temperature": 1.0})}
    return {"cosine": LossRecipe(weight=online.cosine_weight)}


def _with_weight(name: str, recipe: LossRecipe, closed_set: bool) -> LossRecipe:
    """Return the term with the default weight if it has none."""
    if recipe.weight is not None:
        return recipe
    weight = 1.0 if name == LABELS else get_loss_class(name).default_weight(closed_set)
    return recipe.model_copy(update={"weight": weight})


def _check_coverage(terms: Mapping[str, LossRecipe]) -> None:
    """Check that every term is active at some time, and that some term is active at every time."""
    for name, recipe in terms.items():
        if recipe.begin >= recipe.end:
            raise ModelError(f"losses.{name} would never count: it begins at {recipe.begin:g} and ends at "
                             f"{recipe.end:g} of the training")
    covered = 0.0
    for recipe in sorted(terms.values(), key=lambda recipe: recipe.begin):
        if recipe.begin > covered:
            break
        covered = max(covered, recipe.end)
    if terms and covered < 1:
        raise ModelError(f"losses: no term counts when {covered:.0%} of the training is done; let one begin there")
