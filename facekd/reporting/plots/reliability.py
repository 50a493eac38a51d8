"""Whether probabilities are right: reliability diagrams as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context

from facekd.reporting.plots.training import COLORS, STYLE, curve_label, square_figure, to_svg


def reliability_diagram(diagrams: Mapping[str, Sequence[tuple[float, float, int]]], x_label: str = "confidence (%)",
                        y_label: str = "accuracy (%)") -> str:
    """Draw a reliability diagram (Guo et al., 2017): accuracy over confidence; a calibrated model is on the diagonal.

    Args:
        diagrams: by name: mean confidence and accuracy of every bin, as fractions, and its number of images, which is
            the area of its dot.
        x_label: the text below the horizontal axis.
        y_label: the text beside the vertical axis.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure, axes = square_figure(x_label, y_label)
        axes.plot([0, 100], [0, 100], color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)))
        for (name, bins), color in zip(diagrams.items(), COLORS * len(diagrams), strict=False):
            confidence, accuracy, count = np.array(bins, np.float64).T
            axes.plot(100 * confidence, 100 * accuracy, color=color, label=curve_label(name))
            axes.scatter(100 * confidence, 100 * accuracy, 8 + 120 * count / count.sum(), color=color, zorder=3)
        axes.set(xlim=(0, 102), ylim=(-2, 102))
        axes.legend(loc="upper left")
        return to_svg(figure)
