"""The result of a run as one flat row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from facekd.reporting import formatting
from facekd.reporting.comparison import SEED_SUFFIX
from facekd.reporting.run_data import Json, RunData
from facekd.reporting.tables.metrics import ijb_protocols, rates
from facekd.run_info import TIME_FORMAT
from facekd.text import printable

Row = dict[str, str | float]

FACT_COLUMNS = (
    "name", "seed", "command", "model", "parameters", "data", "data_sha256", "images", "classes", "strategy", "stages",
    "losses", "head", "epochs", "minutes", "finished", "hardware", "facekd", "torch", "git",
)
"""The first columns; the columns of the metrics, ``TEST.METRIC``, follow in alphabetical order."""
SIZE_KEYS = {"verify": ("pairs",), "megaface": ("probes", "distractors"), "ijb": ("templates",),
             "identify": ("mated", "unmated", "gallery_identities"), "classify": ("images", "classes")}
"""The keys of the sizes of a test, by the kind of result."""
FIGURE_KEYS = {"verify": ("accuracy", "auc", "eer"), "megaface": ("rank1",), "ijb": (), "identify": (),
               "classify": ("top1", "top5", "ece", "nll", "agreement", "kl")}
"""The keys of the single figures of a test, by the kind of result."""
RATE_PREFIXES = {"megaface": "megaface_", "ijb": "ijb_", "identify": "identify_"}
"""The prefixes of rates at a FAR, FPIR or rank: results of several kinds have such rates and may have the same name."""


def result_row(run: RunData) -> Row:
    """Return the facts and metrics of a run as a flat row; an unknown value has no entry.

    ``name`` is the name of the run folder without the seed, ``data`` the last two components of the path of the
    training set, ``data_sha256`` the first 12 digits of its fingerprint, ``minutes`` the wall clock time from start to
    end, with the pauses of an interrupted run. Metrics of a test are ``TEST.accuracy``, ``TEST.tar@1e-4``,
    ``TEST.rank1``, ``TEST.megaface_tar@1e-6``, ``TEST.ijb_tar@1e-4``, ``TEST.ijb_rank@1`` (the mean over the
    galleries), ``TEST.identify_tpir@1e-2``, ``TEST.top1`` and so on, as fractions. The ends of their 95 % intervals
    have the suffixes ``_low`` and ``_high``. ``TEST.pairs`` and others are the sizes of the test.

    Args:
        run: the contents of a run folder.
    """
    info = run.info
    recipe = run.recipe
    dataset = info.get("dataset") or {}
    versions = info.get("versions") or {}
    facts = {
        "name": SEED_SUFFIX.sub("", run.name), "seed": recipe.get("seed", 0), "command": info.get("command"),
        "model": formatting.model(info.get("model"), info.get("parameters")), "parameters": info.get("parameters"),
        "data": "/".join(PurePath(str(recipe.get("dataset", ""))).parts[-2:]),
        "data_sha256": str(dataset.get("content", ""))[:12], "images": dataset.get("images"),
        "classes": dataset.get("classes"), "strategy": info.get("strategy"), "stages": len(run.anchors) or None,
        "losses": info.get("losses"), "head": (recipe.get("head") or {}).get("name"),
        "epochs": (recipe.get("training") or {}).get("epochs"), "minutes": _minutes(info),
        "finished": info.get("finished"), "hardware": run.hardware, "facekd": versions.get("facekd"),
        "torch": versions.get("torch"), "git": info.get("git"),
    }
    metrics = {f"{result['name']}.{key}": value
               for kind, result in run.all_results for key, value in _metrics(kind, result)}
    # Names that are not UTF-8 would not be read back from the file as they are.
    return {printable(key): printable(value) if isinstance(value, str) else value
            for key, value in {**facts, **metrics}.items() if value not in (None, "")}


def _minutes(info: Json) -> float | None:
    if not info.get("started") or not info.get("finished"):
        return None
    started = datetime.strptime(info["started"], TIME_FORMAT)
    finished = datetime.strptime(info["finished"], TIME_FORMAT)
    return round((finished - started).total_seconds() / 60, 2)


def _metrics(kind: str, result: Json) -> Iterator[tuple[str, Any]]:
    """Yield the columns of a result without the name of its test."""
    for key in SIZE_KEYS[kind]:
        yield key, result[key]
    for key in FIGURE_KEYS[kind]:
        yield from _with_ends(key, result[key], result.get(f"{key}_interval"))
    pairs = result
    open_set: Json = {}
    if kind == "ijb":
        pairs, open_set = ijb_protocols(result)
    elif kind == "identify":
        open_set = result
    for name, source in (("tar", pairs), ("rank", open_set), ("tpir", open_set)):
        for rate in rates(source, name):
            yield from _with_ends(f"{RATE_PREFIXES.get(kind, '')}{name}@{rate.name}", rate.value, rate.interval)


def _with_ends(key: str, value: float | None, ends: Sequence[float] | None) -> Iterator[tuple[str, Any]]:
    yield key, value
    if ends is not None:
        yield f"{key}_low", ends[0]
        yield f"{key}_high", ends[1]
