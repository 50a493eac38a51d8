"""The table of ``facekd bench`` for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rich.table

from facekd.reporting.formatting import MISSING

HEADINGS = ("file", "threads", "ms", "quartiles", "p95", "images/s", "of reference [95 %]", "MB", "peak MB")
MEASUREMENT_NOTE = (
    "ms: median latency of one image, scaling of the pixels included; every round times every file. MB: size of the "
    "file. peak MB: peak resident memory while the file is opened and runs on one thread, above a process with the "
    "runtime alone; it includes the inspection of an ONNX file by facekd."
)
DEVICE_NOTE = (
    "On devices: mean, and fastest to slowest run, without scaling of the pixels; not comparable with the times of "
    "this machine."
)


def bench_table(result: Mapping[str, Any]) -> rich.table.Table:
    """Return a table with one row per file and number of threads, then one per timing of a phone.

    Args:
        result: the result of `facekd.api.deploy.bench.bench`.
    """
    table = rich.table.Table(box=None)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "file" else "right", overflow="fold")
    for row in result["rows"]:
        for timing in row["timed"]:
            table.add_row(*_cells(row, timing))
    for row in result["devices"]:
        title = f"{row['device']}: {', '.join(row['titles']) or row['file']}"
        spread = f"{row['min_ms']:.2f}-{row['max_ms']:.2f}"
        table.add_row(title, str(row["threads"] or MISSING), f"{row['mean_ms']:.2f}", spread, MISSING,
                      f"{1000 / row['mean_ms']:.0f}", MISSING, MISSING, MISSING)
    return table


def bench_notes(result: Mapping[str, Any]) -> list[str]:
    """Return the notes below the table: reference, models, files that were not run, units, warning of a busy machine.

    Args:
        result: the result of `facekd.api.deploy.bench.bench`.
    """
    models = {row["model"]: (row["parameters"], row["macs"]) for row in result["rows"]}
    lines = [f"reference: {result['reference']}"]
    for name, (parameters, macs) in models.items():
        macs_text = "unknown" if macs is None else f"{macs / 1e6:,.1f} M"
        lines.append(f"{name}: {parameters:,} parameters, {macs_text} multiply-adds")
    reasons: dict[str, list[str]] = {}
    for title, reason in result["not_run"].items():
        reasons.setdefault(reason, []).append(title)
    lines += [f"not run: {', '.join(titles)} ({reason})" for reason, titles in reasons.items()]
    lines.append(MEASUREMENT_NOTE)
    if result["devices"]:
        lines.append(DEVICE_NOTE)
    load = result["load"]
    if load["busy"]:
        lines.append(f"warning: the machine was busy (load {load['average']:.1f} on {load['cores']} cores); times are "
                     "too high and ratios uncertain, measure again when it is idle")
    return lines


def _cells(row: Mapping[str, Any], timing: Mapping[str, Any]) -> list[str]:
    low, high = timing["quartiles_ms"]
    ratio_low, ratio_high = timing["ratio_interval"]
    peak = MISSING if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.1f}"
    return [row["title"], str(timing["threads"]), f"{timing['median_ms']:.2f}", f"{low:.2f}-{high:.2f}",
            f"{timing['p95_ms']:.2f}", f"{timing['images_per_second']:.0f}",
            f"{timing['ratio']:.2f} [{ratio_low:.2f}, {ratio_high:.2f}]", f"{row['bytes'] / 1e6:.2f}", peak]
