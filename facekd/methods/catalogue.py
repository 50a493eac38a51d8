"""The catalogue of methods in words: losses, online methods and routes, with paper, equation, weights and usage."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from facekd.errors import ModelError, did_you_mean
from facekd.losses import Loss, get_loss_class, list_losses
from facekd.methods.online_registry import ONLINE_METHODS, OnlineMethod

EXCLUDED_METHODS = {
    "refo": "no equation of ReFO+ (CVPR 2023) is known to us",
    "grouped-kd": "its split of logits is not known to us well enough",
}
"""Methods that users may look for, with the reason why they are not included."""

FAMILIES = ("responses", "maps", "relations", "faces", "online", "route")
"""The families in the order of the catalogue."""


@dataclass(frozen=True)
class MethodEntry:
    """The description of one method.

    Attributes:
        name: the name in recipes.
        family: ``responses``, ``maps``, ``relations`` or ``faces`` for losses; ``online`` (the teacher is trained too)
            or ``route`` (a choice of teachers over time).
        paper: authors, title or venue, year.
        needs: the outputs of the networks that the method uses.
        teacher: how the teacher runs: ``cached or live``, ``live``, ``live for classes``, or ``trained``.
        equation: the loss in plain text.
        weight: the default weight and its source.
        usage: the override or the command that selects the method.
        options: the options with their defaults.
        description: the text of the method's docstring, with the marks 'ours' and 'from memory'.
    """

    name: str
    family: str
    paper: str
    needs: str
    teacher: str
    equation: str
    weight: str = ""
    usage: str = ""
    options: str = ""
    description: str = ""


def list_entries() -> list[MethodEntry]:
    """Return all methods, ordered by family and name."""
    entries = [*map(_loss_entry, list_losses()), *map(_online_entry, ONLINE_METHODS.values()), *ROUTES]
    return sorted(entries, key=lambda entry: (FAMILIES.index(entry.family), entry.name))


def get_entry(name: str) -> MethodEntry:
    """Return a method by name.

    Raises:
        ModelError: the name is unknown, or the method is excluded.
    """
    entries = {entry.name: entry for entry in list_entries()}
    if name in entries:
        return entries[name]
    if name in EXCLUDED_METHODS:
        raise ModelError(f"method '{name}' was left out: {EXCLUDED_METHODS[name]}")
    raise ModelError(f"unknown method '{name}': {did_you_mean(name, sorted(entries))}")


def _loss_entry(name: str) -> MethodEntry:
    loss_class = get_loss_class(name)
    parameters = inspect.signature(loss_class).parameters.values()
    options = [f"{p.name}={p.default}" for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return MethodEntry(
        name=name, family=loss_class.family, paper=loss_class.paper, needs=_needs(loss_class),
        teacher=_teacher(loss_class), equation=loss_class.equation, weight=_weight(loss_class), usage=f"method={name}",
        options=", ".join(options), description=inspect.cleandoc(loss_class.__doc__ or ""),
    )


def _needs(loss_class: type[Loss]) -> str:
    if loss_class.needs_feature_maps:
        return "maps"
    if loss_class.needs_features:
        return "features"
    if loss_class.needs_logits:
        return "logits"
    return "embeddings" if loss_class.needs_embeddings else "logits or embeddings"


def _teacher(loss_class: type[Loss]) -> str:
    if loss_class.needs_feature_maps:
        return "live"
    return "live for classes" if loss_class.needs_features else "cached or live"


def _weight(loss_class: type[Loss]) -> str:
    """Return the default weights of the loss and of the labels as text."""
    labels = f"{loss_class.label_weight:g}"
    if loss_class.works_without_label_term:
        labels = "0 for faces" if loss_class.needs_embeddings else f"{labels} for classes, 0 for faces"
    faces = f" ({loss_class.faces_weight:g} for faces)" if loss_class.faces_weight else ""
    return f"{loss_class.weight:g}{faces}, {loss_class.weight_source}; weight of labels: {labels}"


def _online_entry(method: OnlineMethod) -> MethodEntry:
    return MethodEntry(
        name=method.name, family="online", paper=method.paper, needs="logits or embeddings", teacher="trained",
        equation=method.equation, weight=method.weight, usage=f"method={method.name}", options=method.options,
        description=method.description,
    )


def _route_entry(name: str, paper: str, equation: str, usage: str, description: str = "") -> MethodEntry:
    return MethodEntry(name, "route", paper, needs="any loss", teacher="as the loss", equation=equation, usage=usage,
                       description=description)


_CURRICULUM = "ours, after Panigrahi et al., Progressive Distillation Induces an Implicit Curriculum, ICLR 2025"
_RCO = "Jin et al., Knowledge Distillation via Route Constrained Optimization, ICCV 2019"

ROUTES = [
    _route_entry("rco", _RCO, "stage i follows the teacher's checkpoint C_i; C_1 < ... < C_n, at equal intervals",
                 "facekd plan RUN plan.json --strategy equal --anchors 4"),
    _route_entry("rco-greedy", _RCO,
                 "the next anchor j is the last with A(S, j) >= delta A(S, i), at first delta max A",
                 "facekd plan RUN plan.json --strategy greedy --delta 0.5",
                 "Ours, after the paper's greedy search, which compares H(S, i) / H(S, j) with a delta unknown to us. "
                 "A is the gradient agreement on held-out images."),
    _route_entry("rco-progress", _CURRICULUM,
                 "C_i is the first checkpoint with i/n of the gain of the teacher's metric on held-out images",
                 "facekd plan RUN plan.json --strategy progress --anchors 4",
                 "The default: its anchors are inside the phases in which the teacher learns, however short they are."),
    _route_entry("rco-change", _CURRICULUM,
                 "C_i is the first checkpoint with i/n of the gain in agreement with the end, mean_x p_i(x) . p_end(x)",
                 "facekd plan RUN plan.json --strategy change --anchors 4",
                 "rco-progress without labels; cosines in place of probabilities for embeddings."),
    _route_entry("rco-aligned", "ours; Schönemann, A Generalized Solution of the Orthogonal Procrustes Problem, 1966",
                 "stage i follows C_i R_i, R_i = argmin ||C_i R - C_n|| over orthogonal matrices (training images)",
                 "facekd plan RUN plan.json --aligned", "For embeddings, with every strategy but greedy."),
    _route_entry("progressive",
                 "Harutyunyan et al., Supervision Complexity and its Role in Knowledge Distillation, ICLR 2023",
                 "many anchors under one cycle of the learning rate and one optimizer state",
                 "facekd plan RUN plan.json --strategy equal --anchors 10, then training.cycle=run",
                 "From memory: the student of the paper follows the teacher's checkpoint of the same training time."),
    _route_entry("plateau", "ours, after Jin et al., ICCV 2019",
                 "an anchor at the end of each plateau of the learning rate",
                 "facekd plan RUN plan.json --strategy plateau"),
    _route_entry("restarts", "control of RCO", "the final teacher in every stage",
                 "facekd plan RUN plan.json --strategy final --anchors 4"),
    _route_entry("mean", "Huang et al., Snapshot Ensembles, ICLR 2017, as a teacher",
                 "the mean of the anchors' outputs", "facekd plan RUN plan.json --strategy mean --anchors 4"),
    _route_entry("checkpoint-kd",
                 "Wang et al., Efficient Knowledge Distillation from Model Checkpoints, NeurIPS 2022",
                 "one intermediate checkpoint as the teacher",
                 "facekd plan RUN plan.json --strategy manual --points 10",
                 "The paper chooses the point by mutual information, which is not implemented; choose it by hand."),
    _route_entry("takd", "Mirzadeh et al., Improved Knowledge Distillation via Teacher Assistant, AAAI 2020",
                 "teacher, then an assistant of middle size, then the student; each step is a distillation",
                 "facekd distill DATA plan.json runs/assistant route.every_epochs=1000; "
                 "facekd plan runs/assistant ...",
                 "recipes/classes.sh calls it 'assistant'."),
]
"""Choices of teachers over time: plans that can be combined with every loss."""
