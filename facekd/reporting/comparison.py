"""Several runs in one table; runs that differ in their seed alone share a row."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.io import files
from facekd.reporting import html
from facekd.reporting.plots import route as route_plots
from facekd.reporting.run_data import RunData
from facekd.reporting.tables.metrics import HEADLINE, SIZES, metrics, sort_key
from facekd.reporting.tables.table import Table

SEED_SUFFIX = re.compile(r"[-_.](seed|s)\d+$")
"""The end of a run folder's name that numbers its seed."""


@dataclass
class _Group:
    """Runs of one recipe on one kind of machine that differ in their seed."""

    runs: list[RunData] = field(default_factory=list)
    seeds: set[Any] = field(default_factory=set)


def compare(runs: Sequence[RunData]) -> Table:
    """Return the table of several runs.

    Raises:
        DataError: the list is empty, or contains a run twice.
    """
    return Table(summarize(runs))


def write_comparison(table: Table, runs: Sequence[RunData], out: Path) -> Path:
    """Write a comparison as a self-contained HTML page, with ``congruence.svg`` next to it if there are curves.

    Args:
        table: the table of the runs.
        runs: the runs, whose logs give the congruence curves.
        out: the page to write.

    Returns:
        ``out``.

    Raises:
        SetupError: the disk is full.
    """
    names = ", ".join(name for group in table.summary["groups"] for name in group["runs"])
    sections = [html.section("Results", table.to_html())]
    counts = Counter(run.name for run in runs)
    logs = {run.name if counts[run.name] == 1 else str(run.path): run.log for run in runs if run.anchors and run.log}
    if logs:
        picture = route_plots.students_picture(logs)
        sections.append(html.section("How far the students stay from their anchors",
                                     html.svg(picture, "congruence loss over epochs")))
        files.write_text(out.with_name("congruence.svg"), picture)
    files.write_text(out, html.page("Comparison of runs", names, *sections))
    return out


def summarize(runs: Sequence[RunData]) -> dict[str, Any]:
    """Return the figures of several runs, grouped over seeds; JSON-able, rates are fractions.

    Runs share a group if their recipes differ in ``seed`` and ``out`` only and the same kind of machine trained them; a
    second run of the same seed starts another group.

    Returns:
        ``metrics`` (``key``, ``label``, ``headline``), ``groups`` (``name``, ``model``, ``parameters``, ``hardware``,
        ``runs``, ``seeds``, ``metrics``) and ``notes`` (sentences). A metric of a group has ``mean``, ``std`` (with
        n - 1; null for one seed), ``n``, ``values`` and ``intervals`` by seed, and ``mean_interval`` (the means of the
        intervals' ends, null without intervals). A metric that no run has is left out.

    Raises:
        DataError: the list is empty, or contains a run twice.
    """
    if not runs:
        raise DataError("no run to compare; give at least one run folder")
    duplicates = [str(path) for path, times in Counter(run.path.resolve() for run in runs).items() if times > 1]
    if duplicates:
        raise DataError(f"given more than once: {', '.join(duplicates)}; name every run once")
    groups = _group_by_recipe(runs)
    names = _group_names(groups)
    labels = {metric.key: (metric.label, metric.short_label) for run in runs for metric in metrics(run)}
    order = sorted(labels, key=lambda key: (labels[key][1] not in HEADLINE, sort_key(*key.split("/")[:2])))
    return {
        "metrics": [{"key": key, "label": labels[key][0], "headline": labels[key][1] in HEADLINE} for key in order],
        "groups": [_describe(group, name) for group, name in zip(groups, names, strict=True)],
        "notes": list(_notes(runs)),
    }


def _group_by_recipe(runs: Sequence[RunData]) -> list[_Group]:
    groups: dict[str, list[_Group]] = {}
    for run in runs:
        recipe = {key: value for key, value in run.recipe.items() if key not in ("seed", "out")}
        key = json.dumps([run.info.get("command"), run.hardware, recipe], sort_keys=True, default=str)
        seed = run.recipe.get("seed")
        same_recipe = groups.setdefault(key, [])
        group = next((group for group in same_recipe if seed not in group.seeds), None)
        if group is None:
            group = _Group()
            same_recipe.append(group)
        group.runs.append(run)
        group.seeds.add(seed)
    first_indices = {id(run): index for index, run in enumerate(runs)}
    return sorted(chain.from_iterable(groups.values()), key=lambda group: first_indices[id(group.runs[0])])


def _group_names(groups: Sequence[_Group]) -> list[str]:
    """Return a name per group: that of its first run without the seed, or its path if the name is not unique."""
    names = [SEED_SUFFIX.sub("", group.runs[0].name) for group in groups]
    paths = [str(group.runs[0].path) for group in groups]
    counts = Counter(names)
    return [name if counts[name] == 1 else path for name, path in zip(names, paths, strict=True)]


def _describe(group: _Group, name: str) -> dict[str, Any]:
    first = group.runs[0]
    values: dict[str, list[float]] = {}
    intervals: dict[str, list[Sequence[float] | None]] = {}
    for run in group.runs:
        for metric in metrics(run):
            values.setdefault(metric.key, []).append(metric.value)
            intervals.setdefault(metric.key, []).append(metric.interval)
    return {
        "name": name, "model": first.info.get("model"), "parameters": first.info.get("parameters"),
        "hardware": first.hardware, "runs": [run.name for run in group.runs],
        "seeds": [run.recipe.get("seed") for run in group.runs],
        "metrics": {key: _statistics(values[key], intervals[key]) for key in values},
    }


def _statistics(values: Sequence[float], intervals: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    known = [ends for ends in intervals if ends is not None]
    mean_interval = None
    if len(known) == len(values):
        mean_interval = [statistics.fmean(ends) for ends in zip(*known, strict=True)]
    return {
        "mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values), "values": list(values), "intervals": list(intervals), "mean_interval": mean_interval,
    }


def _notes(runs: Sequence[RunData]) -> Iterator[str]:
    """Yield the sizes of the tests, and the reasons why figures are not comparable."""
    sizes: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        for kind, result in run.all_results:
            size_key, _ = SIZES[kind]
            sizes.setdefault((kind, result["name"]), set()).add(result[size_key])
    for (kind, name), counts in sorted(sizes.items(), key=lambda item: sort_key(*item[0])):
        numbers = " and ".join(f"{count:,}" for count in sorted(counts))
        warning = " The runs were not measured on the same data: do not compare them." if len(counts) > 1 else ""
        yield f"{name}: {numbers} {SIZES[kind][1]}.{warning}"
    unfinished = [run.name for run in runs if not run.finished]
    if unfinished:
        yield f"Not finished: {', '.join(unfinished)}."
