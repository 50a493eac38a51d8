"""RESULTS.md: one section a set of runs, made of its CSV and a few words beside it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from facekd.config import Recipe
from facekd.config.loading import load_recipe
from facekd.reporting import formatting as text
from facekd.reporting.results.csv_file import read_rows
from facekd.reporting.results.published import Figure, plain, read_published
from facekd.reporting.results.rows import Row

RUNS = "runs"
PUBLISHED = Path("published", "classes.csv")
"""Where a folder of results keeps the sets of runs, and the figures of the literature."""
HEADLINE = {"accuracy": "accuracy", "tar@1e-2": "TAR@FAR 1e-2", "rank1": "rank 1", "top1": "top-1", "top5": "top-5",
            "ece": "ECE", "agreement": "agreement", "kl": "KL"}
JUDGED = ("accuracy", "rank1", "top1", "kl")
"""The metrics whose difference to the baseline is shown."""

ONE_CONDITION = ("model", "data_sha256", "epochs", "hardware", "strategy", "losses")
SIZES = ("pairs", "probes", "distractors", "images")
INTRODUCTION = """\
# Results

Written by `make results` from the files in [results](results), one CSV a set and one line a run; nobody types figures.
The published figures are those of [results/published/classes.csv](results/published/classes.csv), each with its source.
"""
LEGEND = """\
Figures in percent, KL from the teacher's outputs in hundredths of a nat: mean ± standard deviation over the seeds
(n - 1); of one seed the figure [its 95 % bootstrap interval over the test data]. Differences are taken seed by seed,
where both have been run: their mean ± its standard error.
"""

Groups = Mapping[str, Sequence[Row]]


class Description(Recipe):
    """What ``NAME.yaml`` says of the set ``NAME.csv``."""

    title: str = ""
    text: str = ""
    command: str = ""
    dataset: str = ""
    teacher: str = ""
    student: str = ""
    protocol: str = ""
    baseline: str = ""
    comparable: bool = False
    why: str = "the conditions were not written down"


def results_page(folder: Path) -> str:
    """RESULTS.md: every set of a folder of results, which holds ``runs/*.csv`` and ``published/classes.csv``.

    Raises:
        DataError: a CSV is damaged; the message names the line.
        RecipeError: mistakes in a description.
    """
    sets = sorted((folder / RUNS).glob("*.csv"))
    return "\n".join([INTRODUCTION, *(f"## {_describe(file).title or file.stem}\n\n{section(file)}" for file in sets)])


def section(file: Path) -> str:
    """One set as Markdown, without its heading: what was run, the table, and what to know about it.

    Args:
        file: its CSV; ``NAME.yaml`` is read from the same folder, ``published/classes.csv`` from the one next to it.

    Raises:
        DataError: a CSV is damaged; the message names the line.
        RecipeError: mistakes in the description.
    """
    about, rows = _describe(file), read_rows(file)
    names = {str(row["name"]) for row in rows}
    baseline = about.baseline or next((name for name in ("kd", "mimic") if name in names), "")
    order = sorted(names, key=lambda name: (name != "teacher", name != "labels", name != baseline, name))
    groups = {name: [row for row in rows if row["name"] == name] for name in order}
    published = read_published(file.parent.parent / PUBLISHED, about.dataset, about.teacher, about.student)
    head, body = _table(groups, baseline, published, about)
    lines = [head, ["---"] * len(head), *body]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in line) + " |"
                      for line in lines)
    command = f"```sh\n{about.command.strip()}\n```" if about.command else ""
    protocol = f"Protocol: {about.protocol.strip()}" if about.protocol else ""
    parts = [about.text.strip(), command, protocol, table, LEGEND.strip(), *_notes(groups, published, about)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe(file: Path) -> Description:
    description = file.with_suffix(".yaml")
    return load_recipe(Description, description if description.exists() else None, ())


def _table(groups: Groups, baseline: str, published: Mapping[str, Figure],
           about: Description) -> tuple[list[str], list[list[str]]]:
    """Headings and rows."""
    columns = {column for rows in groups.values() for row in rows for column in row}
    shown = [column for column in columns if _metric(column) in HEADLINE]
    ours = sorted(shown, key=lambda column: (_test(column), [*HEADLINE].index(_metric(column))))
    head = ["method", "model", "epochs", "seeds"]
    for column in ours:
        head.append(f"{_test(column)} {HEADLINE[_metric(column)]}")
        if _metric(column) in JUDGED and baseline:
            head.append(f"minus {baseline}")
    beside = any(_metric(column) == "top1" for column in ours)  # no other metric has a published figure here
    known = published.get(plain(baseline)) if baseline else None
    head += ["published top-1"] * beside + [f"published minus {baseline}"] * (beside and known is not None)
    head.append("comparable")
    body = []
    for name, rows in groups.items():
        facts = (", ".join(_distinct(rows, column)) or text.NONE for column in ("model", "epochs"))
        cells = [name, *facts, str(len(rows))]
        for column in ours:
            cells.append(_cell(rows, column))
            if _metric(column) in JUDGED and baseline:
                cells.append(_difference(rows, groups.get(baseline, []), column))
        figure = published.get(plain(name))
        verdict = f"no: {about.why}" if not about.comparable else "yes" if figure else "no: nothing published"
        cells += [figure.top1 if figure else text.NONE] * beside
        if beside and known:
            cells.append(f"{float(figure.top1) - float(known.top1):+.2f}" if figure else text.NONE)
        body.append([*cells, verdict])
    return head, body


def _test(column: str) -> str:
    return column.rpartition(".")[0]


def _metric(column: str) -> str:
    return column.rpartition(".")[2] if "." in column else ""


def _distinct(rows: Sequence[Row], column: str) -> list[str]:
    values = {row[column] for row in rows if column in row}
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(values, key=str)]


def _cell(rows: Sequence[Row], column: str) -> str:
    values = [float(row[column]) for row in rows if column in row]
    if not values:
        return text.NONE
    if len(rows) == 1:
        ends = [float(rows[0][f"{column}_{end}"]) for end in ("low", "high") if f"{column}_{end}" in rows[0]]
        return text.with_interval(values[0], ends or None)
    spread = f" ± {text.percent(statistics.stdev(values))}" if len(values) > 1 else ""
    return f"{text.percent(statistics.fmean(values))}{spread}{_fewer(values, rows)}"


def _difference(rows: Sequence[Row], base: Sequence[Row], column: str) -> str:
    """The mean over common seeds of what a method has more than the baseline, in points, and its standard error."""
    if not base or rows[0]["name"] in (base[0]["name"], "teacher"):
        return text.NONE
    theirs = {row["seed"]: float(row[column]) for row in base if column in row}
    more = [float(row[column]) - theirs[row["seed"]] for row in rows if column in row and row["seed"] in theirs]
    if not more:
        return text.NONE
    error = f" ± {text.percent(statistics.stdev(more) / len(more) ** 0.5)}" if len(more) > 1 else ""
    return f"{100 * statistics.fmean(more):+.2f}{error}{_fewer(more, rows)}"


def _fewer(values: Sequence[float], rows: Sequence[Row]) -> str:
    return f" (n = {len(values)})" if len(values) < len(rows) else ""


def _notes(groups: Groups, published: Mapping[str, Figure], about: Description) -> Iterator[str]:
    """Where the figures come from, and what keeps rows from being compared."""
    rows = [row for group in groups.values() for row in group]
    for name, group in groups.items():
        mixed = [column for column in ONE_CONDITION if len(_distinct(group, column)) > 1]
        if mixed:
            yield f"**{name}**: its seeds differ in {', '.join(mixed)}; their mean means nothing."
    sizes = []
    for size in sorted({column for row in rows for column in row if _metric(column) in SIZES}):
        counts = sorted({int(row[size]) for row in rows if size in row})
        sizes.append(f"{_test(size)}: {' and '.join(map(text.count, counts))} {_metric(size)}")
        if len(counts) > 1:
            yield f"**{sizes[-1]}**: the rows were not measured on the same data, do not compare them."
    if sizes:
        yield f"{'; '.join(sizes)}."
    if about.dataset:
        pair = f"{about.dataset}, {about.teacher} to {about.student}"
        sources = sorted({figure.source for name, figure in published.items() if name in map(plain, groups)})
        yield f"Published for {pair}: {', '.join(sources)}." if sources else f"Nothing published is at hand for {pair}."
    data = sorted({f"{row.get('data', '?')} ({row.get('images', '?')} images of {row.get('classes', '?')} classes, "
                   f"SHA-256 {row.get('data_sha256', '?')})" for row in rows})
    facts = {"Trained on": data, "machine": _distinct(rows, "hardware"), "torch": _distinct(rows, "torch"),
             "git": _distinct(rows, "git")}
    yield "; ".join(f"{name} {', '.join(values)}" for name, values in facts.items() if values) + "."
