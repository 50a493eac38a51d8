"""The table of several runs. It is made from a summary alone, so that a committed result file gives the same table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rich.table
from rich.text import Text

from facekd.reporting import formatting, html
from facekd.text import markdown, printable


@dataclass(frozen=True)
class Table:
    """A table with one row per group of runs and one column per metric.

    Attributes:
        summary: the result of `facekd.reporting.comparison.summarize`, also as read back from JSON.
    """

    summary: Mapping[str, Any]

    @property
    def footer(self) -> list[str]:
        """The explanations of the figures, one per line."""
        lines = ["All metrics in percent."]
        counts = {metric["n"] for group in self.summary["groups"] for metric in group["metrics"].values()}
        if 1 in counts:
            lines.append("One seed: the figure [its 95 % bootstrap interval over the test data].")
        if any(count > 1 for count in counts):
            lines.append(
                "Several seeds: mean ± standard deviation over the seeds (n - 1), [mean of 95 % intervals]: the means "
                "of the ends of the bootstrap intervals of the seeds; they show the uncertainty from the choice of "
                "test data, and are not an interval of the mean. (n = ...): the number of seeds that were measured."
            )
        return [*lines, *self.summary["notes"]]

    def cells(self, full: bool = True) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows.

        Args:
            full: whether to include every metric, or the headline metrics only.
        """
        metrics = [metric for metric in self.summary["metrics"] if full or metric["headline"]]
        header = ["name", "model", "parameters", "seeds", *(metric["label"] for metric in metrics)]
        rows = []
        for group in self.summary["groups"]:
            runs = len(group["runs"])
            model = formatting.model(group["model"]).replace(", ", "\n", 1)
            metric_cells = (_cell(group["metrics"].get(metric["key"]), runs) for metric in metrics)
            rows.append([group["name"], model, formatting.millions(group["parameters"]), str(runs), *metric_cells])
        return header, rows

    def to_dict(self) -> dict[str, Any]:
        """Return the summary; rates are fractions."""
        return dict(self.summary)

    def to_rich(self, full: bool = False) -> rich.table.Table:
        """Return a table for the terminal, with the headline metrics only unless ``full``."""
        header, rows = self.cells(full)
        footer = _text("\n".join(self.footer))  # rich reads brackets in a plain string as markup
        table = rich.table.Table(caption=footer, caption_justify="left", show_lines=True)
        for heading in header:
            table.add_column(_text(heading), overflow="fold")
        for row in rows:
            table.add_row(*map(_text, row))
        return table

    def to_markdown(self, full: bool = False) -> str:
        """Return the table and its footer as Markdown, with the headline metrics only unless ``full``."""
        header, rows = self.cells(full)
        lines = [[markdown(cell.replace("\n", " ")) for cell in header], ["---"] * len(header),
                 *([markdown(row[0]), *map(_plain_cell, row[1:])] for row in rows)]
        body = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([*body, "", *(markdown(line) + "  " for line in self.footer)]).rstrip() + "\n"

    def to_html(self) -> str:
        """Return the table with every metric and its footer as HTML."""
        return html.table(*self.cells()) + "".join(html.paragraph(line, "note") for line in self.footer)


def _cell(metric: Mapping[str, Any] | None, runs: int) -> str:
    """Return a metric of a group, with its interval on a second line, and ``n`` if some of the runs lack it."""
    if metric is None:
        return formatting.MISSING
    spread = "" if metric["std"] is None else f" ± {formatting.percent(metric['std'])}"
    seeds = "" if metric["n"] == runs else f" (n = {metric['n']})"
    figure = f"{formatting.percent(metric['mean'])}{spread}{seeds}"
    return f"{figure}\n{formatting.interval(metric['mean_interval'])}".strip()


def _plain_cell(cell: str) -> str:
    """Return a cell of figures, whose brackets are no link, for Markdown."""
    return printable(cell.replace("\n", " ")).replace("|", "\\|").replace("<", "&lt;")


def _text(cell: str) -> Text:
    """Return a cell whose control characters are escaped before its width is measured."""
    return Text(printable(cell, keep_newlines=True))
