"""Curves of training and evaluation as SVG text; the same input gives the same bytes."""

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

from facekd.io.training_log import HELD_OUT_COSINE, TEACHER_COSINE
from facekd.text import plot_label

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
"""The palette of Okabe and Ito, which color-blind readers can distinguish."""
MAX_POINTS = 500
"""Maximum number of points of a curve; longer logs are averaged in groups."""
NOT_TERMS = ("step", "epoch", "stage", "seconds_per_step", "learning_rate", TEACHER_COSINE, HELD_OUT_COSINE)
"""The keys of a log line that are neither the loss nor one of its terms."""
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
        epoch: the position on the horizontal axis.
        label: the text at the top of the line.
    """

    epoch: float
    label: str


def loss_terms(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the loss and its terms from a line of ``log.jsonl``."""
    return {name: value for name, value in line.items() if name not in NOT_TERMS}


def training_curves(log: Sequence[Mapping[str, Any]], marks: Sequence[Mark] = (),
                    points: Sequence[float] = ()) -> str:
    """Draw the loss and its terms, and below them the learning rate, over epochs.

    Args:
        log: lines of ``log.jsonl``, at least one; more than `MAX_POINTS` are averaged in groups.
        marks: the beginnings of the stages.
        points: epochs at which the route was recorded, drawn as dots on the loss.

    Returns:
        An SVG document.
    """
    terms = [name for name in loss_terms(log[0]) if name != "loss"]
    epochs = mean_curve(log, "epoch")
    loss = mean_curve(log, "loss")
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        loss_axes, rate_axes = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
        loss_axes.plot(epochs, loss, color=COLORS[0], label="loss", zorder=3)
        for name, color in zip(terms if len(terms) > 1 else (), (*COLORS[1:], *COLORS), strict=False):
            loss_axes.plot(epochs, mean_curve(log, name), color=color, linewidth=0.9, label=curve_label(name))
        if points:
            loss_axes.plot(points, np.interp(points, epochs, loss), "o", color=COLORS[1], markersize=4, zorder=4,
                       label="recorded point of the route")
        if loss.min() > 0 and loss.max() > 50 * loss.min():
            loss_axes.set_yscale("log")
        rate_axes.plot(epochs, mean_curve(log, "learning_rate"), color=COLORS[2])
        for mark in marks:
            for axes in (loss_axes, rate_axes):
                axes.axvline(mark.epoch, color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            loss_axes.text(mark.epoch, 1.02, f" {plot_label(mark.label)}", size=8, color="#57606a",
                           transform=loss_axes.get_xaxis_transform())
        loss_axes.set_ylabel("loss")
        rate_axes.set(xlabel="epoch", ylabel="learning rate", xlim=(0, 1.01 * epochs[-1]), ylim=(0, None))
        if len(loss_axes.get_lines()) - len(marks) > 1:
            loss_axes.legend(loc="upper right")
        return to_svg(figure)


def roc_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Draw receiver operating characteristics, with the false accept rate on a logarithmic axis.

    Args:
        curves: by name: rising false accept rates, and their true accept rates, as fractions.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = square_figure("false accept rate", "true accept rate (%)")
        lowest = min((min((rate for rate in far if rate > 0), default=1.0) for far, _ in curves.values()), default=1e-4)
        for (name, (far, tar)), color in zip(curves.items(), COLORS * len(curves), strict=False):
            rates, accepted = np.asarray(far, np.float64), 100 * np.asarray(tar, np.float64)
            axes.plot(np.maximum(rates, lowest), accepted, drawstyle="steps-post", color=color,
                      label=curve_label(name))
        axes.set(xscale="log", xlim=(min(lowest, 0.1), 1), ylim=(None, 100.5))
        axes.legend(loc="lower right")
        return to_svg(figure)


def cmc_curves(curves: Mapping[str, Sequence[float]]) -> str:
    """Draw cumulative match characteristics: the share of the probes whose mate is at a rank or better.

    Args:
        curves: by name: shares at rank 1, 2, ..., as fractions.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = square_figure("rank", "mate at this rank or better (%)")
        for (name, shares), color in zip(curves.items(), COLORS * len(curves), strict=False):
            axes.plot(np.arange(1, len(shares) + 1), 100 * np.asarray(shares, np.float64), color=color,
                      label=curve_label(name))
        axes.set(xscale="log", xlim=(1, max(2, *map(len, curves.values()))), ylim=(None, 100.5))
        axes.set_xticks([tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick <= axes.get_xlim()[1]])
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(loc="lower right")
        return to_svg(figure)


def class_accuracy_bars(shares: Sequence[float]) -> str:
    """Draw the accuracy of every class as a bar, and their mean, which is top-1 if all classes have as many images.

    Args:
        shares: accuracies as fractions, rising.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = square_figure("classes, the hardest first", "top-1 of the class (%)")
        heights = 100 * np.asarray(shares, np.float64)
        axes.stairs(heights, np.arange(len(heights) + 1), fill=True, color=COLORS[5])
        axes.axhline(heights.mean(), color=COLORS[1], label="mean of the classes")
        axes.set(xlim=(0, len(heights)), ylim=(0, 100))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left")
        return to_svg(figure)


def mean_curve(log: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """Return one value of all lines as at most `MAX_POINTS` means of neighboring lines: float64 [points]."""
    values = np.array([line.get(name, np.nan) for line in log], np.float64)
    return np.array([chunk.mean() for chunk in np.array_split(values, min(len(values), MAX_POINTS))])


def curve_label(name: str) -> str:
    """Return the name of a curve for a legend, which leaves out labels that begin with an underscore."""
    label = plot_label(name, keep_newlines=False)
    return f" {label}" if label.startswith("_") else label


def square_figure(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes."""
    figure = Figure(figsize=(4.8, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label)
    return figure, axes


def to_svg(figure: Figure) -> str:
    """Return a figure as an SVG document; the same figure gives the same bytes."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # leave out the XML prolog, whose document type names a network address
