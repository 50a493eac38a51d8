"""Several runs in one table; runs that differ in their seed alone share a row."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.reporting import html
from facekd.reporting.plots import route as route_plot
from facekd.reporting.run_data import Material, read_material
from facekd.reporting.tables.metrics import HEADLINE, SIZES, metrics, place
from facekd.reporting.tables.table import Table
from facekd.utils import files

SEED_SUFFIX = re.compile(r"[-_.](seed|s)\d+$")


@dataclass
class _Group:
    """Runs of one recipe on one kind of machine that differ in their seed."""

    key: str
    runs: list[Material] = field(default_factory=list)

    @property
    def seeds(self) -> list[Any]:
        return [run.recipe.get("seed") for run in self.runs]


def compare(runs: Sequence[Path]) -> Table:
    """Put runs into one table.

    Args:
        runs: run folders.

    Raises:
        DataError: no run is given, one is given twice, or a folder is no run.
    """
    return Table(summary(runs))


def write_comparison(runs: Sequence[Path], out: Path) -> Path:
    """Write the comparison as a self-contained HTML page; gives ``out``. Raises as `compare` does."""
    table = compare(runs)
    names = ", ".join(name for group in table.summary["groups"] for name in group["runs"])
    picture = students_picture(runs)
    files.write_text(out, html.page(
        "Comparison of runs", names, html.section("Results", table.to_html()),
        html.section("How far the students stay from their anchors", html.svg(picture, "congruence loss over epochs"))
        if picture else "",
    ))
    if picture:
        files.write_text(out.with_name("congruence.svg"), picture)
    return out


def students_picture(runs: Sequence[Path]) -> str:
    """The congruence losses of the runs that follow anchors, see `route_plot.students_picture`; empty without any."""
    logs = {run.name: run.log for run in map(read_material, runs) if run.anchors and run.log}
    return route_plot.students_picture(logs) if logs else ""


def summary(runs: Sequence[Path]) -> dict[str, Any]:
    """What the runs' result files say, grouped over seeds; JSON-able, rates are fractions.

    Runs share a group when their recipes differ in ``seed`` and ``out`` only and were trained on the same kind of
    machine; a second run of the same seed begins another group.

    Returns:
        ``metrics`` (``key``, ``label``, ``headline``), ``groups`` (``name``, ``model``, ``parameters``, ``hardware``,
        ``runs``, ``seeds``, ``metrics``) and ``notes`` (sentences). A group's metric holds ``mean``, ``std`` (with
        n - 1; null for one seed), ``n``, ``values`` and ``intervals`` by seed, and ``mean_interval`` (the means of the
        intervals' ends, null where there are none). A metric that no run has is left out.

    Raises:
        DataError: no run is given, one is given twice, or a folder is no run.
    """
    if not runs:
        raise DataError("no run to compare; give at least one run folder")
    twice = [str(path) for path, times in Counter(path.resolve() for path in runs).items() if times > 1]
    if twice:
        raise DataError(f"given more than once: {', '.join(twice)}; name every run once")
    materials = [read_material(path) for path in runs]
    groups = _grouped(materials)
    names = _names(groups)
    found = {key: (label, short) for run in materials for key, label, short, _, _ in metrics(run)}
    order = sorted(found, key=lambda key: (found[key][1] not in HEADLINE, place(*key.split("/")[:2])))
    return {
        "metrics": [{"key": key, "label": found[key][0], "headline": found[key][1] in HEADLINE} for key in order],
        "groups": [_describe(group, name) for group, name in zip(groups, names, strict=True)],
        "notes": list(_notes(materials)),
    }


def _grouped(materials: Sequence[Material]) -> list[_Group]:
    groups: list[_Group] = []
    for run in materials:
        rest = {key: value for key, value in run.recipe.items() if key not in ("seed", "out")}
        key = json.dumps([run.info.get("verb"), run.hardware, rest], sort_keys=True, default=str)
        free = (g for g in groups if g.key == key and run.recipe.get("seed") not in g.seeds)
        group = next(free, None)
        if group is None:
            group = _Group(key)
            groups.append(group)
        group.runs.append(run)
    return groups


def _names(groups: Sequence[_Group]) -> list[str]:
    """A name a group: its first run's without the seed; the folder's path where that is not unique."""
    short = [SEED_SUFFIX.sub("", group.runs[0].name) for group in groups]
    paths = [str(group.runs[0].path) for group in groups]
    return [name if short.count(name) == 1 else path for name, path in zip(short, paths, strict=True)]


def _describe(group: _Group, name: str) -> dict[str, Any]:
    first = group.runs[0]
    values: dict[str, list[float]] = {}
    intervals: dict[str, list[Sequence[float] | None]] = {}
    for run in group.runs:
        for key, _, _, value, ends in metrics(run):
            values.setdefault(key, []).append(value)
            intervals.setdefault(key, []).append(ends)
    return {
        "name": name, "model": first.info.get("model"), "parameters": first.info.get("parameters"),
        "hardware": first.hardware, "runs": [run.name for run in group.runs], "seeds": group.seeds,
        "metrics": {key: _statistics(values[key], intervals[key]) for key in values},
    }


def _statistics(values: Sequence[float], intervals: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    known = [ends for ends in intervals if ends is not None]
    return {
        "mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "values": list(values), "intervals": list(intervals),
        "mean_interval": [statistics.fmean(e) for e in zip(*known, strict=True)] if len(known) == len(values) else None,
    }


def _notes(materials: Sequence[Material]) -> Iterator[str]:
    """How large the tests were, and what keeps figures from being compared."""
    sizes: dict[tuple[str, str], set[int]] = {}
    for run in materials:
        for kind, result in run.results:
            sizes.setdefault((kind, result["name"]), set()).add(result[SIZES[kind][0]])
    for (kind, name), counts in sorted(sizes.items(), key=lambda item: place(*item[0])):
        numbers = " and ".join(f"{count:,}" for count in sorted(counts))
        warning = " The runs were not measured on the same data: do not compare them." if len(counts) > 1 else ""
        yield f"{name}: {numbers} {SIZES[kind][1]}.{warning}"
    going = [run.name for run in materials if run.info.get("outcome") != "finished"]
    if going:
        yield f"Not finished: {', '.join(going)}."
