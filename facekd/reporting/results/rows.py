"""One flat row a run: what it was and what it gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from facekd.config import DistillRecipe, LossRecipe
from facekd.errors import ModelError
from facekd.methods.objective import mixture
from facekd.reporting import formatting as text
from facekd.reporting.comparison import SEED_SUFFIX
from facekd.reporting.run_data import Json, Material
from facekd.reporting.tables.metrics import rates, templates

Row = dict[str, str | float]

FACTS = ("name", "seed", "verb", "model", "parameters", "data", "data_sha256", "images", "classes", "strategy",
         "stages", "losses", "head", "epochs", "minutes", "finished", "hardware", "facekd", "torch", "git")
"""The columns that come first; those of the figures, ``TEST.METRIC``, follow in alphabetical order."""

SIZES = {"verify": ("pairs",), "megaface": ("probes", "distractors"), "ijb": ("templates",),
         "search": ("mated", "unmated", "gallery"), "classify": ("images", "classes")}
FIGURES = {"verify": ("accuracy", "auc", "eer"), "megaface": ("rank1",), "ijb": (), "search": (),
           "classify": ("top1", "top5", "ece", "nll", "agreement", "kl")}
BEFORE = {"megaface": "megaface_", "ijb": "ijb_", "search": "search_"}
"""Several kinds know a TAR or ranks and may bear the same name."""


def row(run: Material) -> Row:
    """What a run was and what it gave, flat; what is not known has no entry.

    ``name`` is the run folder's name without the seed, ``data`` the last two parts of the training set's path,
    ``data_sha256`` the first 12 digits of its fingerprint, ``minutes`` the wall clock from begin to end (the pauses of
    an interrupted run included). A test's figures are ``TEST.accuracy``, ``TEST.tar@1e-4``, ``TEST.rank1``,
    ``TEST.megaface_tar@1e-6``, ``TEST.ijb_tar@1e-4``, ``TEST.ijb_rank@1`` (the mean of the galleries),
    ``TEST.search_tpir@1e-2``, ``TEST.top1`` and so on, as fractions, the ends of their 95 % intervals behind
    ``_low`` and ``_high``, beside ``TEST.pairs`` and other sizes of the test.

    Args:
        run: a run folder's contents.
    """
    info, recipe = run.info, run.recipe
    data, versions = info.get("faces") or {}, info.get("versions") or {}
    facts = {
        "name": SEED_SUFFIX.sub("", run.name), "seed": recipe.get("seed", 0), "verb": info.get("verb"),
        "model": text.model(info.get("model")), "parameters": info.get("parameters"),
        "data": "/".join(PurePath(str(recipe.get("faces", ""))).parts[-2:]),
        "data_sha256": str(data.get("content", ""))[:12], "images": data.get("images"),
        "classes": data.get("classes", data.get("identities")),  # identities: before class sets came
        "strategy": info.get("strategy"), "stages": len(info.get("walked") or info.get("anchors") or ()) or None,
        "losses": _losses(info, recipe), "head": (recipe.get("head") or {}).get("name"),
        "epochs": (recipe.get("schedule") or {}).get("epochs"), "minutes": _minutes(info),
        "finished": info.get("finished"), "hardware": run.hardware, "facekd": versions.get("facekd"),
        "torch": versions.get("torch"), "git": info.get("git"),
    }
    figures = {f"{result['name']}.{key}": value
               for kind, result in run.results for key, value in _figures(kind, result)}
    return {key: value for key, value in {**facts, **figures}.items() if value not in (None, "")}


def _losses(info: Json, recipe: Json) -> str:
    """The terms of the loss, e.g. ``kd 0.9 (temperature 4) + labels 0.1``."""
    if info.get("verb") != "distill":
        return "labels"
    relevant = {key: recipe[key] for key in ("method", "losses", "head") if key in recipe}
    try:
        known = DistillRecipe.model_validate({"faces": "", "plan": "", "out": "", **relevant})
        mixed = mixture(known.method, known.losses, known.head.closed)
    except (ValidationError, ModelError):  # a recipe of another version of facekd
        return ""
    return " + ".join([*([mixed.partner] if mixed.partner else []), *map(_term, sorted(mixed.terms.items()))])


def _term(named: tuple[str, LossRecipe]) -> str:
    """A term of the loss, e.g. ``kd 0.9 (temperature 4)``."""
    name, recipe = named
    options = {**recipe.options, **recipe.model_dump(include={"begin", "end"}, exclude_defaults=True)}
    said = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{name} {recipe.weight:g}" + (f" ({said})" if said else "")


def _minutes(info: Json) -> float | None:
    if not info.get("begun") or not info.get("finished"):
        return None
    begun, finished = (datetime.strptime(info[key], "%Y-%m-%dT%H:%M:%S%z") for key in ("begun", "finished"))
    return round((finished - begun).total_seconds() / 60, 2)


def _figures(kind: str, result: Json) -> Iterator[tuple[str, Any]]:
    for key in SIZES[kind]:
        yield key, result[key]
    for key in FIGURES[kind]:
        yield from _with_ends(key, result[key], result.get(f"{key}_interval"))
    pairs, searched = templates(result) if kind == "ijb" else (result, result if kind == "search" else {})
    for name, part in (("tar", pairs), ("rank", searched), ("tpir", searched)):
        for at, value, ends in rates(part, name):
            yield from _with_ends(f"{BEFORE.get(kind, '')}{name}@{at}", value, ends)


def _with_ends(key: str, value: float | None, ends: Sequence[float] | None) -> Iterator[tuple[str, Any]]:
    yield key, value
    if ends is not None:
        yield from ((f"{key}_low", ends[0]), (f"{key}_high", ends[1]))
