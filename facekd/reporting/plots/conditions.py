"""The figures of several methods under several conditions, for instance numbers of epochs, as SVG text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from facekd.reporting.plots.training import COLORS, STYLE, to_svg


def conditions_picture(values: Mapping[str, Sequence[Sequence[float]]], titles: Sequence[str], label: str) -> str:
    """Draw a line per method over the conditions: the mean of its runs, and every run as a dot.

    Args:
        values: by method: the figures of its runs in percent, for every condition; a condition without runs is empty.
        titles: the names of the conditions.
        label: the name of the figure, beside the vertical axis.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots()
        for number, (method, cells) in enumerate(values.items()):
            color = COLORS[number % len(COLORS)]
            known = [position for position, cell in enumerate(cells) if cell]
            axes.plot(known, [statistics.fmean(cells[position]) for position in known], "-", color=color, label=method)
            for position in known:
                axes.plot([position] * len(cells[position]), list(cells[position]), ".", color=color, alpha=0.4)
        axes.set(ylabel=label, xlim=(-0.3, len(titles) - 0.7))
        axes.set_xticks(range(len(titles)), titles)
        if values:
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return to_svg(figure)
