"""The figures of ``facekd bench`` as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rich.table

from facekd.reporting.formatting import NONE

HEADINGS = ("file", "threads", "ms", "quartiles", "p95", "images/s", "of reference [95 %]", "MB", "peak MB")
HERE = (
    "ms: median of one image in and one embedding out, scaling of the pixels included, every file in every round. MB: "
    "its size. peak MB: most resident memory while it is opened and runs on one thread, above a process that has only "
    "loaded its runtime; facekd's own look into an ONNX file is in it."
)
DEVICE = (
    "On devices: mean, and fastest to slowest run, without scaling of the pixels; not to be set against this machine's."
)


def bench_table(result: Mapping[str, Any]) -> rich.table.Table:
    """A line for each file and number of threads, then one for each timing of a phone; of what `bench` gives."""
    table = rich.table.Table(box=None)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "file" else "right", overflow="fold")
    for row in result["rows"]:
        for found in row["timed"]:
            table.add_row(*_cells(row, found))
    for row in result["devices"]:
        title = f"{row['device']}: {', '.join(row['titles']) or row['file']}"
        spread = f"{row['least_ms']:.2f}-{row['most_ms']:.2f}"
        table.add_row(title, str(row["threads"] or NONE), f"{row['mean_ms']:.2f}", spread, NONE,
                      f"{1000 / row['mean_ms']:.0f}", NONE, NONE, NONE)
    return table


def bench_notes(result: Mapping[str, Any]) -> list[str]:
    """What the table does not say: reference, models, what was not run, what figures are, and whether to trust them."""
    models = {row["model"]: (row["parameters"], row["macs"]) for row in result["rows"]}
    lines = [f"reference: {result['reference']}"]
    for name, (parameters, macs) in models.items():
        counted = "unknown" if macs is None else f"{macs / 1e6:,.1f} M"
        lines.append(f"{name}: {parameters:,} parameters, {counted} multiply-adds")
    reasons: dict[str, list[str]] = {}
    for title, reason in result["not_run"].items():
        reasons.setdefault(reason, []).append(title)
    lines += [f"not run: {', '.join(titles)} ({reason})" for reason, titles in reasons.items()]
    lines += [HERE, *([DEVICE] if result["devices"] else [])]
    load = result["load"]
    if load["busy"]:
        lines.append(f"warning: the machine was busy (load {load['average']:.1f} on {load['cores']} cores); times are "
                     "too high and ratios uncertain, measure again when it is idle")
    return lines


def _cells(row: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    low, high = found["quartiles_ms"]
    left, right = found["ratio_interval"]
    peak = NONE if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.1f}"
    return [row["title"], str(found["threads"]), f"{found['median_ms']:.2f}", f"{low:.2f}-{high:.2f}",
            f"{found['p95_ms']:.2f}", f"{found['images_per_second']:.0f}",
            f"{found['ratio']:.2f} [{left:.2f}, {right:.2f}]", f"{row['bytes'] / 1e6:.2f}", peak]
