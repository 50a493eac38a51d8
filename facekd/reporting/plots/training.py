"""Curves as SVG text: the same input gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from numpy.typing import NDArray

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
"""Okabe and Ito's palette, which colour-blind readers tell apart."""
MOST_POINTS = 500
POSITION = ("step", "epoch", "stage", "seconds_per_step", "learning_rate")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "facekd", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9,
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"], "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#8c959f", "axes.labelcolor": "#1d2329", "axes.grid": True, "grid.color": "#eaeef2",
    "xtick.color": "#57606a", "ytick.color": "#57606a", "lines.linewidth": 1.4, "legend.frameon": False,
}


@dataclass(frozen=True)
class Mark:
    """A vertical line in the training curves: the beginning of a stage.

    Attributes:
        epoch: where it stands.
        label: a few words beside it.
    """

    epoch: float
    label: str


def figures(line: Mapping[str, Any]) -> dict[str, float]:
    """The loss and its terms in a line of ``log.jsonl``."""
    return {name: value for name, value in line.items() if name not in POSITION}


def training(log: Sequence[Mapping[str, Any]], marks: Sequence[Mark] = (), points: Sequence[float] = ()) -> str:
    """Loss above, learning rate below, both over epochs.

    Args:
        log: lines of ``log.jsonl``, at least one; more than 500 are averaged in groups.
        marks: beginnings of stages.
        points: epochs at which the route was recorded, drawn as dots on the loss.

    Returns:
        An SVG document.
    """
    terms = [name for name in figures(log[0]) if name != "loss"]
    epochs, loss = _column(log, "epoch"), _column(log, "loss")
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        above.plot(epochs, loss, color=COLOURS[0], label="loss", zorder=3)
        for name, colour in zip(terms if len(terms) > 1 else (), (*COLOURS[1:], *COLOURS), strict=False):
            above.plot(epochs, _column(log, name), color=colour, linewidth=0.9, label=name)
        if points:
            above.plot(points, np.interp(points, epochs, loss), "o", color=COLOURS[1], markersize=4, zorder=4,
                       label="recorded point of the route")
        if loss.min() > 0 and loss.max() > 50 * loss.min():
            above.set_yscale("log")
        below.plot(epochs, _column(log, "learning_rate"), color=COLOURS[2])
        for mark in marks:
            for axes in (above, below):
                axes.axvline(mark.epoch, color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            place = above.get_xaxis_transform()
            above.text(mark.epoch, 1.02, f" {mark.label}", transform=place, size=8, color="#57606a")
        above.set_ylabel("loss")
        below.set(xlabel="epoch", ylabel="learning rate", xlim=(0, 1.01 * epochs[-1]), ylim=(0, None))
        if len(above.get_lines()) - len(marks) > 1:
            above.legend(loc="upper right")
        return as_svg(figure)


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Receiver operating characteristic, the false accept rate on a logarithmic axis.

    Args:
        curves: by name: false accept rates, rising, and the true accept rates that belong to them, as fractions.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = _square("false accept rate", "true accept rate (%)")
        lowest = min((min((f for f in far if f > 0), default=1.0) for far, _ in curves.values()), default=1e-4)
        for (name, (far, tar)), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
            rates, accepted = np.asarray(far, np.float64), 100 * np.asarray(tar, np.float64)
            axes.plot(np.maximum(rates, lowest), accepted, drawstyle="steps-post", color=colour, label=name)
        axes.set(xscale="log", xlim=(min(lowest, 0.1), 1), ylim=(None, 100.5))
        axes.legend(loc="lower right")
        return as_svg(figure)


def cmc(curves: Mapping[str, Sequence[float]]) -> str:
    """Cumulative match characteristic: how often the mate is at a rank or better.

    Args:
        curves: by name: shares at rank 1, 2, ..., as fractions.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = _square("rank", "mate at this rank or better (%)")
        for (name, shares), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
            axes.plot(np.arange(1, len(shares) + 1), 100 * np.asarray(shares, np.float64), color=colour, label=name)
        axes.set(xscale="log", xlim=(1, max(2, *map(len, curves.values()))), ylim=(None, 100.5))
        axes.set_xticks([tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick <= axes.get_xlim()[1]])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(loc="lower right")
        return as_svg(figure)


def reliability(diagrams: Mapping[str, Sequence[tuple[float, float, int]]]) -> str:
    """Reliability diagram (Guo et al., 2017): accuracy over confidence, on the diagonal where a model is calibrated.

    Args:
        diagrams: by name: mean confidence and accuracy of every bin, as fractions, and the images in it, which the
            area of its dot shows.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = _square("confidence (%)", "accuracy (%)")
        axes.plot([0, 100], [0, 100], color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)))
        for (name, bins), colour in zip(diagrams.items(), COLOURS * len(diagrams), strict=False):
            sure, right, count = np.array(bins, np.float64).T
            axes.plot(100 * sure, 100 * right, color=colour, label=name)
            axes.scatter(100 * sure, 100 * right, 8 + 120 * count / count.sum(), color=colour, zorder=3)
        axes.set(xlim=(0, 102), ylim=(-2, 102))
        axes.legend(loc="upper left")
        return as_svg(figure)


def by_class(shares: Sequence[float]) -> str:
    """Bars of the classes' accuracies and their mean, which is top-1 where all classes have as many images.

    Args:
        shares: accuracies as fractions, rising.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = _square("classes, the hardest first", "top-1 of the class (%)")
        heights = 100 * np.asarray(shares, np.float64)
        axes.stairs(heights, np.arange(len(heights) + 1), fill=True, color=COLOURS[5])
        axes.axhline(heights.mean(), color=COLOURS[1], label="mean of the classes")
        axes.set(xlim=(0, len(heights)), ylim=(0, 100))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left")
        return as_svg(figure)


def _column(log: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One figure of all lines, as at most `MOST_POINTS` means of neighbours."""
    values = np.array([line.get(name, np.nan) for line in log], np.float64)
    return np.array([part.mean() for part in np.array_split(values, min(len(values), MOST_POINTS))])


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """A figure as an SVG document; the same figure gives the same bytes."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # without the XML head, whose document type names a network address
