"""RESULTS.md: one section per result set, made from its CSV file and a short description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from facekd.config import Recipe
from facekd.config.loading import load_recipe
from facekd.reporting import formatting
from facekd.reporting.plots.conditions import conditions_picture
from facekd.reporting.results.csv_file import read_rows
from facekd.reporting.results.method_table import Groups, distinct_values, method_table, metric_name, test_name
from facekd.reporting.results.pivot_table import collect_cells, pivot_tables, sort_methods
from facekd.reporting.results.published import PublishedFigure, normalize_method_name, read_published
from facekd.reporting.results.rows import Row

RUNS_FOLDER = "runs"
"""The folder of the result sets, inside of the folder of results."""
PUBLISHED_FILE = Path("published", "classes.csv")
"""The file with figures from the literature, inside of the folder of results."""
CONDITION_COLUMNS = ("model", "data_sha256", "epochs", "hardware", "strategy", "losses")
"""The columns that are the same for all seeds of a method."""
SIZE_COLUMNS = ("pairs", "probes", "distractors", "images")
INTRODUCTION = """\
# Results

`make results` writes this page from the files in [results](results), one CSV file per result set and one line per run;
nobody types figures. The published figures come from
[results/published/classes.csv](results/published/classes.csv), each with its source.
"""
LEGEND = """\
Figures in percent, KL from the teacher's outputs in hundredths of a nat: mean ± standard deviation over the seeds
(n - 1); for one seed the figure [its 95 % bootstrap interval over the test data]. Differences are paired by seed, over
the seeds that both have: their mean ± its standard error.
"""

PIVOT_LEGEND = """\
Figures in percent: mean ± standard deviation (n - 1) over the n runs. Differences in points are paired by seed and
problem: their mean ± its standard error.
"""


class Description(Recipe):
    """The content of ``NAME.yaml``, which describes the result set ``NAME.csv``.

    With ``pivot`` the table has a row per method and a column per condition, see
    `facekd.reporting.results.pivot_table`; ``columns`` are the conditions with their titles, and ``also`` further CSV
    files of the same folder whose rows belong to the table.
    """

    title: str = ""
    text: str = ""
    command: str = ""
    dataset: str = ""
    teacher: str = ""
    student: str = ""
    protocol: str = ""
    baseline: str = ""
    pivot: str = ""
    columns: dict[str, str] = Field(default_factory=dict)
    also: list[str] = Field(default_factory=list)
    comparable: bool = False
    why: str = "the conditions were not written down"


def results_page(folder: Path) -> str:
    """Return RESULTS.md: a section per result set of a folder with ``runs/*.csv`` and ``published/classes.csv``.

    Raises:
        DataError: a CSV file is damaged; the message names the line.
        RecipeError: a description has mistakes.
    """
    sections = []
    for file in sorted((folder / RUNS_FOLDER).glob("*.csv")):
        sections.append(f"## {_read_description(file).title or file.stem}\n\n{result_section(file)}")
    return "\n".join([INTRODUCTION, *sections])


def result_section(file: Path) -> str:
    """Return one result set as Markdown without its heading: description, command, table and notes.

    Args:
        file: the CSV file of the set; ``NAME.yaml`` is read from the same folder, ``published/classes.csv`` from the
            parent of that folder.

    Raises:
        DataError: a CSV file is damaged; the message names the line.
        RecipeError: the description has mistakes.
    """
    description = _read_description(file)
    rows = read_rows(file)
    if description.pivot:
        return _pivot_section(file, description, rows)
    groups, baseline = _group_by_method(rows, description.baseline)
    published = read_published(file.parent.parent / PUBLISHED_FILE, description.dataset, description.teacher,
                               description.student)
    not_comparable = "" if description.comparable else description.why
    header, body = method_table(groups, baseline, published, not_comparable)
    return _section(description, [_markdown([header, *body])], LEGEND, _notes(groups, published, description))


def _pivot_section(file: Path, description: Description, rows: list[Row]) -> str:
    """Return a result set whose description has a pivot."""
    for name in description.also:
        rows += read_rows(file.with_name(name))
    figures, differences = pivot_tables(rows, description.pivot, description.columns, description.baseline or "kd")
    return _section(description, [_markdown(figures), _markdown(differences)], PIVOT_LEGEND, [_facts(rows)])


def pivot_picture(file: Path) -> str:
    """Return the figures of a result set with a pivot as an SVG document.

    Raises:
        DataError: a CSV file is damaged, or the pattern of the pivot is invalid.
    """
    description = _read_description(file)
    rows = [row for path in (file, *map(file.with_name, description.also)) for row in read_rows(path)]
    cells = collect_cells(rows, description.pivot, description.columns)
    methods = sort_methods(cells, description.baseline or "kd")
    values = {method: [[100 * value for value in cells.get((method, column), {}).values()]
                       for column in description.columns] for method in methods}
    return conditions_picture(values, list(description.columns.values()), "top-1 (%)")


def _section(description: Description, tables: Sequence[str], legend: str, notes: Iterable[str]) -> str:
    command = f"```sh\n{description.command.strip()}\n```" if description.command else ""
    protocol = f"Protocol: {description.protocol.strip()}" if description.protocol else ""
    paragraphs = [description.text.strip(), command, protocol, *tables, legend.strip(), *notes]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph) + "\n"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown; its first line is the header."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in line) + " |"
                     for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])


def _read_description(file: Path) -> Description:
    description_file = file.with_suffix(".yaml")
    return load_recipe(Description, description_file if description_file.exists() else None, ())


def _group_by_method(rows: Sequence[Row], baseline: str) -> tuple[Groups, str]:
    """Return the rows by method, teacher, labels and baseline first, and the name of the baseline (empty: none)."""
    names = {str(row["name"]) for row in rows}
    if not baseline:
        baseline = next((name for name in ("kd", "mimic") if name in names), "")
    order = sorted(names, key=lambda name: (name != "teacher", name != "labels", name != baseline, name))
    return {name: [row for row in rows if row["name"] == name] for name in order}, baseline


def _notes(groups: Groups, published: Mapping[str, PublishedFigure], description: Description) -> Iterator[str]:
    """Yield the warnings about rows that are not comparable, the sizes of the tests, and the sources of the figures."""
    rows = [row for group in groups.values() for row in group]
    for name, group in groups.items():
        mixed = [column for column in CONDITION_COLUMNS if len(distinct_values(group, column)) > 1]
        if mixed:
            yield f"**{name}**: its seeds differ in {', '.join(mixed)}; their mean is meaningless."
    sizes = []
    for column in sorted({column for row in rows for column in row if metric_name(column) in SIZE_COLUMNS}):
        counts = sorted({int(row[column]) for row in rows if column in row})
        sizes.append(f"{test_name(column)}: {' and '.join(map(formatting.count, counts))} {metric_name(column)}")
        if len(counts) > 1:
            yield f"**{sizes[-1]}**: the rows were not measured on the same data, do not compare them."
    if sizes:
        yield f"{'; '.join(sizes)}."
    if description.dataset:
        pair = f"{description.dataset}, {description.teacher} to {description.student}"
        names = set(map(normalize_method_name, groups))
        sources = sorted({figure.source for name, figure in published.items() if name in names})
        yield f"Published for {pair}: {', '.join(sources)}." if sources else f"No published figures for {pair}."
    yield _facts(rows)


def _facts(rows: Sequence[Row]) -> str:
    """Return a sentence on data, machine and versions."""
    data = sorted({f"{row.get('data', '?')} ({row.get('images', '?')} images of {row.get('classes', '?')} classes, "
                   f"SHA-256 {row.get('data_sha256', '?')})" for row in rows})
    facts = {"Trained on": data, "machine": distinct_values(rows, "hardware"),
             "torch": distinct_values(rows, "torch"), "git": distinct_values(rows, "git")}
    return "; ".join(f"{name} {', '.join(values)}" for name, values in facts.items() if values) + "."
