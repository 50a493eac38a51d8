"""The table of several runs, made from a summary alone, so that a committed result file gives the same table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rich.table
from rich.text import Text

from facekd.reporting import formatting as text
from facekd.reporting import html


@dataclass(frozen=True)
class Table:
    """Rows of runs, columns of metrics.

    Attributes:
        summary: what `facekd.reporting.comparison.summary` gave, or the same read back from JSON.
    """

    summary: Mapping[str, Any]

    @property
    def footer(self) -> list[str]:
        """What the figures are; one sentence each."""
        lines = ["All metrics in percent."]
        counts = {metric["n"] for group in self.summary["groups"] for metric in group["metrics"].values()}
        if 1 in counts:
            lines.append("One seed: the figure [its 95 % bootstrap interval over the test data].")
        if any(count > 1 for count in counts):
            lines.append(
                "Several seeds: mean ± standard deviation over the seeds (n - 1), [mean of 95 % intervals]: the mean "
                "of the ends of the seeds' own bootstrap intervals; it is what the choice of test data leaves open, "
                "not an interval of the mean. (n = ...): only so many of the row's seeds were measured."
            )
        return [*lines, *self.summary["notes"]]

    def cells(self, full: bool = True) -> tuple[list[str], list[list[str]]]:
        """Headings and rows.

        Args:
            full: every metric, or the headline metrics only.
        """
        metrics = [metric for metric in self.summary["metrics"] if full or metric["headline"]]
        head = ["name", "model", "parameters", "seeds", *(metric["label"] for metric in metrics)]
        rows = [
            [group["name"], text.model(group["model"]).replace(", ", "\n", 1), text.millions(group["parameters"]),
             str(len(group["runs"])),
             *(_cell(group["metrics"].get(metric["key"]), len(group["runs"])) for metric in metrics)]
            for group in self.summary["groups"]
        ]
        return head, rows

    def to_dict(self) -> dict[str, Any]:
        """The summary; rates are fractions."""
        return dict(self.summary)

    def to_rich(self, full: bool = False) -> rich.table.Table:
        """For a terminal; the headline metrics only unless ``full``."""
        head, rows = self.cells(full)
        footer = Text("\n".join(self.footer))  # Text throughout: brackets in plain strings are markup to rich
        table = rich.table.Table(caption=footer, caption_justify="left", show_lines=True)
        for heading in head:
            table.add_column(Text(heading), overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        return table

    def to_markdown(self, full: bool = False) -> str:
        """For a README: a table and its footer; the headline metrics only unless ``full``."""
        head, rows = self.cells(full)
        lines = [head, ["---"] * len(head), *rows]
        body = ["| " + " | ".join(_markdown(cell) for cell in line) + " |" for line in lines]
        return "\n".join([*body, "", *(_markdown(line) + "  " for line in self.footer)]).rstrip() + "\n"

    def to_html(self) -> str:
        """For a page: every metric."""
        return html.table(*self.cells()) + "".join(html.paragraph(line, "note") for line in self.footer)


def _cell(metric: Mapping[str, Any] | None, runs: int) -> str:
    """A metric of a group, its interval on a second line; ``n`` where some of the group's runs lack it."""
    if metric is None:
        return text.NONE
    spread = "" if metric["std"] is None else f" ± {text.percent(metric['std'])}"
    seeds = "" if metric["n"] == runs else f" (n = {metric['n']})"
    return f"{text.percent(metric['mean'])}{spread}{seeds}\n{text.interval(metric['mean_interval'])}".strip()


def _markdown(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
