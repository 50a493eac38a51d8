"""Models by their cost and by what they lose to a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from facekd.reporting.plots.training import COLORS, STYLE, to_svg
from facekd.text import plot_label


@dataclass(frozen=True)
class FrontierPoint:
    """One model of the picture.

    Attributes:
        label: its name.
        group: the models of one group share a color and are connected, e.g. the precisions of one network.
        cost: its bytes, milliseconds or multiply-adds.
        loss: what it loses to the teacher.
    """

    label: str
    group: str
    cost: float
    loss: float


def frontier_picture(points: Sequence[FrontierPoint], cost: str, loss: str, *, budget: float | None = None) -> str:
    """Draw models by cost (logarithmic) and loss; the best ones are at the lower left.

    Args:
        points: the models, at least one.
        cost: the label of the horizontal axis.
        loss: the label of the vertical axis.
        budget: the largest cost that was asked for, drawn as a vertical line.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        for number, group in enumerate(dict.fromkeys(point.group for point in points)):
            members = sorted((point for point in points if point.group == group), key=lambda point: point.cost)
            color = COLORS[number % len(COLORS)]
            axes.plot([point.cost for point in members], [point.loss for point in members], "o-", color=color,
                      label=plot_label(group))
            for point in members:
                axes.annotate(plot_label(point.label), (point.cost, point.loss), xytext=(4, 5),
                              textcoords="offset points", size=8, color=color)
        if budget is not None:
            axes.axvline(budget, color="#444444", linestyle="--", linewidth=1)
            axes.annotate("budget", (budget, 1), xycoords=("data", "axes fraction"), xytext=(3, -10),
                          textcoords="offset points", size=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(0.15)
        axes.set(xlabel=cost, ylabel=loss)
        axes.legend(loc="upper right")
        return to_svg(figure)
