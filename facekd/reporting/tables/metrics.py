"""The figures in a run's results, each with the label it has in the table of several runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facekd.reporting.run_data import Json, Material

HEADLINE = ("accuracy", "TAR@FAR 1e-2", "rank 1", "1:1 TAR@FAR 1e-4", "top-1", "top-5", "ECE", "agreement")
SIZES = {"verify": ("pairs", "pairs"), "megaface": ("distractors", "distractors"), "ijb": ("templates", "templates"),
         "search": ("mated", "probes of people in the gallery"), "classify": ("images", "images")}
"""What says how large a test of a kind was, and how a reader calls it."""
Rate = tuple[str, float | None, Sequence[float] | None]
"""What it is of or at, a fraction, and its interval."""


def metrics(run: Material) -> Iterator[tuple[str, str, str, float, Sequence[float] | None]]:
    """Key, label, short label, value and interval of every metric a run has."""
    for kind, result in run.results:
        for short, value, ends in _figures(kind, result):
            if value is not None:
                yield f"{kind}/{result['name']}/{short}", f"{result['name']}\n{short}", short, value, ends


def place(kind: str, name: str) -> tuple[int, str]:
    """For sorting: by kind, verification first, then by name."""
    return list(SIZES).index(kind), name


def rates(result: Json, name: str) -> Iterator[Rate]:
    """The rates under a name in a result: at which FAR, FPIR or rank, what, and its interval."""
    for at, value in result.get(name, {}).items():
        yield at, value, result[f"{name}_interval"].get(at)


def templates(result: Json) -> tuple[Json, Json]:
    """The 1:1 part of a result of IJB, and the mean over its galleries of 1:N; empty where there is none."""
    return result["verification"] or {}, result["search"].get("mean") or {}


def _figures(kind: str, result: Json) -> Iterator[Rate]:
    pairs, searched = templates(result) if kind == "ijb" else ({}, result if kind == "search" else {})
    if kind == "classify":
        yield "top-1", result["top1"], result["top1_interval"]
        yield "top-5", result["top5"], result["top5_interval"]
        yield "ECE", result["ece"], None
        yield "agreement", result["agreement"], None
    if kind == "verify":
        yield "accuracy", result["accuracy"], result["accuracy_interval"]
    if kind == "megaface":
        yield "rank 1", result["rank1"], result["rank1_interval"]
    if kind in ("verify", "megaface"):
        yield from _labelled("TAR@FAR", result, "tar")
    if kind == "verify":
        yield "AUC", result["auc"], None
    yield from _labelled("1:1 TAR@FAR", pairs, "tar")
    yield from _labelled("rank", searched, "rank")
    yield from _labelled("TPIR@FPIR", searched, "tpir")


def _labelled(label: str, result: Json, name: str) -> Iterator[Rate]:
    return ((f"{label} {at}", value, ends) for at, value, ends in rates(result, name))
