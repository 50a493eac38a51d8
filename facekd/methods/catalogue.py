"""What a student can be trained by, in words: the losses, the ways to move a teacher, and the routes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from facekd.errors import ModelError, nearest
from facekd.losses import Loss, family_of, kind_of, names
from facekd.methods.joint import Together

LEFT_OUT = {
    "refo": "no equation of ReFO+ (CVPR 2023) is known to us",
    "grouped-kd": "its split of logits is not known to us well enough",
}
"""Methods one may look for, and why they are not here."""


@dataclass(frozen=True)
class Entry:
    """A method in words.

    Attributes:
        name: what a recipe calls it.
        family: responses, maps, relations, faces; partner (the teacher is trained too) or route (which teacher when).
        paper: authors, title or venue, year.
        needs: what of the networks' answers it looks at.
        teacher: ``cached or live``, ``live``, ``live for classes``, or ``trained``.
        equation: in plain text.
        weight: the usual one and where it comes from.
        line: how a recipe or a command asks for it.
        options: with their defaults.
        text: what its file says about it, the labels 'ours' and 'from memory' among it.
    """

    name: str
    family: str
    paper: str
    needs: str
    teacher: str
    equation: str
    weight: str = ""
    line: str = ""
    options: str = ""
    text: str = ""


def catalogue() -> list[Entry]:
    """Every method, by family and name."""
    order = ["responses", "maps", "relations", "faces", "partner", "route"]
    entries = [*map(_loss, names()), *PARTNERS, *ROUTES]
    return sorted(entries, key=lambda entry: (order.index(entry.family), entry.name))


def entry(name: str) -> Entry:
    """A method by name.

    Raises:
        ModelError: an unknown name, or one that was left out.
    """
    known = {each.name: each for each in catalogue()}
    if name in known:
        return known[name]
    for left, why in LEFT_OUT.items():
        if name == left:
            raise ModelError(f"method '{name}' was left out: {why}")
    raise ModelError(f"unknown method '{name}': {nearest(name, sorted(known))}")


def _loss(name: str) -> Entry:
    kind = kind_of(name)
    live = "live" if kind.maps else "live for classes" if kind.features else "cached or live"
    labels = "0 for faces" if kind.alone and kind.faces else f"{kind.labels:g}"
    if kind.alone and not kind.faces:
        labels += " for classes, 0 for faces"
    faces = f" ({kind.faces_weight:g} for faces)" if kind.faces_weight else ""
    weight = f"{kind.weight:g}{faces}, {kind.origin}; labels beside it: {labels}"
    parameters = inspect.signature(kind).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    return Entry(name, family_of(name), kind.paper, _needs(kind), live, kind.equation, weight,
                 f"method={name}", ", ".join(f"{key}={value}" for key, value in options.items()),
                 inspect.cleandoc(kind.__doc__ or ""))


def _needs(kind: type[Loss]) -> str:
    if kind.maps:
        return "maps"
    if kind.features:
        return "features"
    return "logits" if kind.logits else "embeddings" if kind.faces else "logits or embeddings"


_TOGETHER = inspect.cleandoc(Together.__doc__ or "").partition("\n\nArgs:")[0]

PARTNERS = [
    Entry("prokt", "partner", "Shi et al., Follow Your Path, ECML-PKDD 2021",
          "logits or embeddings", "trained",
          "teacher: (1 - lambda) CE + lambda KL(p_s || q_t); then student: KL(q_t || p_s)",
          "lambda 0.3, in the range of the authors' recipes for text (0.3 and 0.4)", "method=prokt",
          "partner.pull=0.3, partner.mode=penalty|dual, partner.slack=1.0, partner.step=0.001, partner.fresh=false, "
          "partner.uniform=true, partner.pace=0.3", _TOGETHER),
    Entry("dml", "partner", "Zhang et al., Deep Mutual Learning, CVPR 2018", "logits or embeddings", "trained",
          "each in turn: CE + KL(p_other || p_self); with 'dml + LOSS' the loss is added on both sides",
          "1, the paper", "method=dml", "partner.fresh=true, partner.pace=1.0", _TOGETHER),
]
"""Methods whose teacher is trained beside the student; the plan names its architecture."""

_RCO = "Jin et al., Knowledge Distillation via Route Constrained Optimization, ICCV 2019"


def _route(name: str, paper: str, equation: str, line: str, text: str = "") -> Entry:
    return Entry(name, "route", paper, "any loss", "as the loss", equation, line=line, text=text)


ROUTES = [
    _route("rco", _RCO, "stage i follows the teacher's checkpoint C_i; C_1 < ... < C_n, at equal intervals",
           "facekd plan RUN plan.json --strategy equal --anchors 4"),
    _route("rco-greedy", _RCO, "the next anchor j is the last with H(S, i) / H(S, j) >= delta on withheld images",
           "facekd plan RUN plan.json --strategy greedy --delta 0.8",
           "Our reading of the paper's greedy search; the paper's delta is not known to us."),
    _route("plateau", "ours, after Jin et al., ICCV 2019", "an anchor at the end of each plateau of the learning rate",
           "facekd plan RUN plan.json --strategy plateau"),
    _route("restarts", "control of RCO", "the final teacher in every stage",
           "facekd plan RUN plan.json --strategy final --anchors 4"),
    _route("mean", "Huang et al., Snapshot Ensembles, ICLR 2017, as a teacher", "the mean of the anchors' outputs",
           "facekd plan RUN plan.json --strategy mean --anchors 4"),
    _route("checkpoint-kd", "Wang et al., Efficient Knowledge Distillation from Model Checkpoints, NeurIPS 2022",
           "one intermediate checkpoint as the teacher", "facekd plan RUN plan.json --strategy manual --points 10",
           "The paper chooses the point by a score of mutual information, which is not built here; choose it by hand."),
    _route("takd", "Mirzadeh et al., Improved Knowledge Distillation via Teacher Assistant, AAAI 2020",
           "teacher, then an assistant of middle size, then the student; each step is a distillation",
           "facekd distill DATA plan.json runs/assistant route.every=1000; facekd plan runs/assistant ...",
           "recipes/classes.sh calls it 'assistant'."),
]
"""Choices of teachers over time: plans, which every loss can follow."""
