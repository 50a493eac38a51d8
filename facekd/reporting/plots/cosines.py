"""The curves of the cosine to the teacher as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from facekd.io.training_log import HELD_OUT_COSINE, TEACHER_COSINE
from facekd.reporting.plots.training import COLORS, STYLE, mean_curve, to_svg

COSINES = {TEACHER_COSINE: "training images", HELD_OUT_COSINE: "held-out images"}
"""The keys of the cosines to the teacher in a line of the log, with the names of their curves."""


def cosine_curves(log: Sequence[Mapping[str, Any]]) -> str:
    """Draw the cosine of the student's embeddings to the teacher's over epochs, on training and on held-out images.

    Args:
        log: lines of ``log.jsonl``, at least one with a cosine; more than `MAX_POINTS` are averaged in groups.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 2.4), layout="constrained")
        axes = figure.subplots()
        for (key, label), color in zip(COSINES.items(), COLORS, strict=False):
            lines = [line for line in log if key in line]
            if lines:
                marker = "o" if key == HELD_OUT_COSINE else ""
                axes.plot(mean_curve(lines, "epoch"), mean_curve(lines, key), marker=marker, markersize=3, color=color,
                          label=label)
        axes.set(xlabel="epoch", ylabel="cosine to the teacher", xlim=(0, 1.01 * log[-1]["epoch"]), ylim=(None, 1.0))
        axes.legend(loc="lower right")
        return to_svg(figure)
