"""``facekd report``: a page for each run, and all of them in one table."""

from __future__ import annotations

from pathlib import Path

from facekd.reporting.comparison import compare, write_comparison
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.rows import Row, row
from facekd.reporting.run_data import read_material
from facekd.reporting.run_report import write_report
from facekd.reporting.tables.table import Table
from facekd.run import hardware
from facekd.utils import files


def report(*runs: Path | str, out: Path | str | None = None,
           results: Path | str | None = None) -> tuple[Table, list[Path]]:
    """Write ``report.html`` into every run, and put the runs into one table.

    Args:
        runs: run folders; those that differ in their seed alone share a row.
        out: a folder for ``comparison.html`` and ``summary-HARDWARE.json`` (the table's figures, for README and docs).
        results: a CSV that receives a row of every run that has ended (those that have not are named in the table's
            footer); the row of an earlier call is replaced, others are kept. ``{hardware}`` in its name becomes the
            label of the machine that trained the run.

    Returns:
        the table, and the files written.

    Raises:
        DataError: a folder is no run, or the CSV is damaged or holds another run of that name and seed.
    """
    paths = [Path(run) for run in runs]
    table = compare(paths)
    pages = [write_report(path) for path in paths]
    if out is not None:
        files.write_json(Path(out) / f"summary-{hardware()['label']}.json", table.to_dict())
        pages.append(write_comparison(paths, Path(out) / "comparison.html"))
    if results is not None:
        pages += _write_rows(paths, str(results))
    return table, pages


def _write_rows(runs: list[Path], results: str) -> list[Path]:
    rows: dict[Path, list[Row]] = {}
    for run in map(read_material, runs):
        if run.info.get("outcome") == "finished":
            rows.setdefault(Path(results.replace("{hardware}", run.hardware)), []).append(row(run))
    for file, found in rows.items():
        upsert(file, found)
    return list(rows)
