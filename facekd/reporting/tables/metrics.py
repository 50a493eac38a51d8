"""The metrics of a run's results, with the labels that they have in the table of several runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from facekd.reporting.run_data import Json, RunData

HEADLINE = ("accuracy", "TAR@FAR 1e-2", "rank 1", "1:1 TAR@FAR 1e-4", "top-1", "top-5", "ECE", "agreement")
"""The short labels of the metrics in the short form of the table."""
SIZES = {"verify": ("pairs", "pairs"), "megaface": ("distractors", "distractors"), "ijb": ("templates", "templates"),
         "identify": ("mated", "probes of people in the gallery"), "classify": ("images", "images")}
"""The size of a test, by the kind of result: the key in the result, and the noun for people."""


class Rate(NamedTuple):
    """One figure of a result: its name, or the FAR, FPIR or rank at which it was measured; a fraction; its interval."""

    name: str
    value: float | None
    interval: Sequence[float] | None


class Metric(NamedTuple):
    """One figure of a run.

    Attributes:
        key: ``KIND/TEST/SHORT LABEL``, unique within a run.
        label: the name of the test and the short label, on two lines.
        short_label: the label without the name of the test.
        value: the figure; rates are fractions.
        interval: the ends of its 95 % interval; None without one.
    """

    key: str
    label: str
    short_label: str
    value: float
    interval: Sequence[float] | None


def metrics(run: RunData) -> Iterator[Metric]:
    """Yield every metric of a run that has a value."""
    for kind, result in run.all_results:
        for short_label, value, interval in _labeled_figures(kind, result):
            if value is not None:
                test = result["name"]
                yield Metric(f"{kind}/{test}/{short_label}", f"{test}\n{short_label}", short_label, value, interval)


def sort_key(kind: str, name: str) -> tuple[int, str]:
    """Return the sort key of a test: by kind, verification first, then by name."""
    return list(SIZES).index(kind), name


def rates(result: Json, name: str) -> Iterator[Rate]:
    """Yield the rates of a result under a key (``tar``, ``rank``, ``tpir``); the name is the FAR, rank or FPIR."""
    for operating_point, value in result.get(name, {}).items():
        yield Rate(operating_point, value, result[f"{name}_interval"].get(operating_point))


def ijb_protocols(result: Json) -> tuple[Json, Json]:
    """Return the 1:1 result of IJB, and the mean of its 1:N results over the galleries; empty if not measured."""
    return result["verification"] or {}, result["identification"].get("mean") or {}


def _labeled_figures(kind: str, result: Json) -> Iterator[Rate]:
    """Yield the figures of a result with their short labels as names."""
    template_pairs: Json = {}
    open_set: Json = {}
    if kind == "ijb":
        template_pairs, open_set = ijb_protocols(result)
    elif kind == "identify":
        open_set = result
    if kind == "classify":
        yield Rate("top-1", result["top1"], result["top1_interval"])
        yield Rate("top-5", result["top5"], result["top5_interval"])
        yield Rate("ECE", result["ece"], None)
        yield Rate("agreement", result["agreement"], None)
    if kind == "verify":
        yield Rate("accuracy", result["accuracy"], result["accuracy_interval"])
    if kind == "megaface":
        yield Rate("rank 1", result["rank1"], result["rank1_interval"])
    if kind in ("verify", "megaface"):
        yield from _labeled_rates("TAR@FAR", result, "tar")
    if kind == "verify":
        yield Rate("AUC", result["auc"], None)
    yield from _labeled_rates("1:1 TAR@FAR", template_pairs, "tar")
    yield from _labeled_rates("rank", open_set, "rank")
    yield from _labeled_rates("TPIR@FPIR", open_set, "tpir")


def _labeled_rates(label: str, result: Json, name: str) -> Iterator[Rate]:
    return (Rate(f"{label} {rate.name}", rate.value, rate.interval) for rate in rates(result, name))
