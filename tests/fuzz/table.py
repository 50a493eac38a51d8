"""``python -m tests.fuzz.table out.json [fuzz.csv]``: a result of the room as Markdown, and as CSV for docs/."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER = ("parser", "inputs", "accepted", "refused", "violations", "slowest, s", "peak, MiB")


def cells(result: Mapping[str, Any]) -> list[list[str]]:
    """Return a result as cells, one line a parser and one for all."""
    rows = result["parsers"]
    total = {key: sum(row[key] for row in rows.values()) for key in ("inputs", "accepted", "refused", "violations")}
    total |= {key: max(row[key] for row in rows.values()) for key in ("slowest_seconds", "peak_bytes")}
    return [_line(name, row) for name, row in [*sorted(rows.items()), ("all", total)]]


def _line(name: str, row: Mapping[str, Any]) -> list[str]:
    counts = [f"{row[key]:,}" for key in ("inputs", "accepted", "refused", "violations")]
    return [name, *counts, f"{row['slowest_seconds']:.2f}", f"{row['peak_bytes'] / 2**20:,.0f}"]


def render(result: Mapping[str, Any]) -> str:
    """Return a result as a Markdown table."""
    lines = [list(HEADER), ["---"] + ["---:"] * (len(HEADER) - 1), *cells(result)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_csv(result: Mapping[str, Any]) -> str:
    """Return a result as CSV, which ``tools/tables.py`` writes into docs/robustness.md."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(cells(result))
    return output.getvalue()


if __name__ == "__main__":
    content = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(render(content))
    if sys.argv[2:]:
        Path(sys.argv[2]).write_text(to_csv(content), encoding="utf-8")
