"""``facekd report``: a report page for each run, and one table of all runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from facekd.errors import DataError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable, plain_name
from facekd.reporting.comparison import compare, write_comparison
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.rows import Row, result_row
from facekd.reporting.run_data import RunData, load_run_data
from facekd.reporting.run_report import write_report
from facekd.reporting.tables.table import Table
from facekd.text import path_text, short_repr
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
        DataError: a folder is not a run, the CSV is damaged or has a row of another run with that name and seed, or
            its name cannot be used.
        RouteError: the route of a run is damaged.
        SetupError: a file cannot be written, or another process writes it.
    """
    if out is not None:
        check_writable(out, folder=True)
    loaded_runs = [load_run_data(Path(run)) for run in runs]
    if results is not None:
        for file in {_results_file(run, str(results)) for run in loaded_runs if run.finished}:
            check_writable(file)
    with ExitStack() as locks:
        locks.enter_context(lock_output(out))
        for folder in sorted({run.path.resolve() for run in loaded_runs}):
            locks.enter_context(lock_output(folder / "report.html"))
        return _write(loaded_runs, out, results)


def _write(loaded_runs: list[RunData], out: Path | str | None, results: Path | str | None
           ) -> tuple[Table, list[Path]]:
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
            rows_by_file.setdefault(_results_file(run, results), []).append(result_row(run))
    for file, rows in rows_by_file.items():
        upsert(file, rows)
    return list(rows_by_file)


def _results_file(run: RunData, results: str) -> Path:
    """Return the CSV of a run.

    Raises:
        DataError: the name holds other braces than ``{hardware}``, or the label in ``run.json`` is no plain name.
    """
    rest = results.replace("{hardware}", "")
    if not results or "{" in rest or "}" in rest:
        raise DataError(f"--results {short_repr(results)} is no file name; of braces it takes {{hardware}} alone")
    if rest == results:
        return Path(results)
    return Path(results.replace("{hardware}", plain_name(run.hardware, f"the hardware of {path_text(run.path)}",
                                                         DataError)))
