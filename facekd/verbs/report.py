"""``facekd report``: a page for each run, and all of them in one table."""

from __future__ import annotations

from pathlib import Path

from facekd import files
from facekd.reporting.compare import compare, write_comparison
from facekd.reporting.page import write_report
from facekd.reporting.table import Table
from facekd.runs import hardware


def report(*runs: Path | str, out: Path | str | None = None) -> tuple[Table, list[Path]]:
    """Write ``report.html`` into every run, and put the runs into one table.

    Args:
        runs: run folders; those that differ in their seed alone share a row.
        out: a folder for ``comparison.html`` and ``summary-HARDWARE.json`` (the table's figures, for README and docs).

    Returns:
        the table, and the pages written.

    Raises:
        DataError: a folder is no run.
    """
    paths = [Path(run) for run in runs]
    table = compare(paths)
    pages = [write_report(path) for path in paths]
    if out is not None:
        files.write_json(Path(out) / f"summary-{hardware()['label']}.json", table.to_dict())
        pages.append(write_comparison(paths, Path(out) / "comparison.html"))
    return table, pages
