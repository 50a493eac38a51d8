"""``facekd report``: a report page for each run, and one table of all runs."""

from __future__ import annotations

from pathlib import Path

from facekd.reporting.comparison import compare, write_comparison
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.rows import Row, result_row
from facekd.reporting.run_data import RunData, load_run_data
from facekd.reporting.run_report import write_report
from facekd.reporting.tables.table import Table
from facekd.utils import files
from facekd.utils.environment import hardware


def report(*runs: Path | str, out: Path | str | None = None,
           results: Path | str | None = None) -> tuple[Table, list[Path]]:
    """Write ``report.html`` into every run folder, and return one table of all runs.

    Args:
        runs: run folders; those that differ in their seed alone share a row.
        out: a folder for ``comparison.html`` and ``summary-HARDWARE.json``, the figures of the table.
        results: a CSV that receives one row per finished run, in place of the row of an earlier call; the footer of the
            table names the others. ``{hardware}`` in its name is replaced by the label of the run's machine.

    Returns:
        the table, and the written files.

    Raises:
        DataError: a folder is not a run, or the CSV is damaged or has a row of another run with that name and seed.
    """
    loaded_runs = [load_run_data(Path(run)) for run in runs]
    table = compare(loaded_runs)
    pages = [write_report(run) for run in loaded_runs]
    if out is not None:
        files.write_json(Path(out) / f"summary-{hardware()['label']}.json", table.to_dict())
        pages.append(write_comparison(table, loaded_runs, Path(out) / "comparison.html"))
    if results is not None:
        pages += _write_rows(loaded_runs, str(results))
    return table, pages


def _write_rows(runs: list[RunData], results: str) -> list[Path]:
    """Write the rows of the finished runs, and return the files."""
    rows_by_file: dict[Path, list[Row]] = {}
    for run in runs:
        if run.finished:
            file = Path(results.replace("{hardware}", run.hardware))
            rows_by_file.setdefault(file, []).append(result_row(run))
    for file, rows in rows_by_file.items():
        upsert(file, rows)
    return list(rows_by_file)
