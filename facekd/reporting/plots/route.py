"""Tables and plots of a route: learning rate, metric of the teacher and congruence, with the anchors of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from facekd.reporting.plots.training import COLORS, STYLE, curve_label, loss_terms, to_svg
from facekd.route.profile import PointProfile
from facekd.text import plot_label


def route_table(profiles: Sequence[PointProfile]) -> Table:
    """Return a table for the terminal with one row per point."""
    table = Table("point", "epoch", "learning rate", "recorded", "loss", _metric_name(profiles) or "metric", "change",
                  "to the end", "rotated", "to the student")
    for profile in profiles:
        point = profile.point
        measurements = (point.metrics.get("loss"), profile.metric, profile.net_change,
                        profile.congruence_to_end, profile.aligned_to_end, profile.congruence_to_student)
        table.add_row(str(profile.number), f"{point.epoch:g}", f"{point.learning_rate:.3g}", point.reason,
                      *("" if value is None else f"{value:.4g}" for value in measurements))
    return table


def route_picture(profiles: Sequence[PointProfile], anchors: Sequence[int], title: str) -> str:
    """Draw the curves of a route over the epochs of the teacher, one below the other, without those not measured.

    Args:
        profiles: the profile of every point of the route, see `facekd.route.profile.profile_route`.
        anchors: the numbers of the points that are anchors of the plan, by stage.
        title: the text above the picture.

    Returns:
        An SVG document.
    """
    epochs = [profile.point.epoch for profile in profiles]
    metric_name = _metric_name(profiles)
    if metric_name is None:
        metric_name = "training loss"
        metric_values = [profile.point.metrics.get("loss") for profile in profiles]
    else:
        metric_values = [profile.metric for profile in profiles]
    all_curves: list[tuple[str, list[float | None]]] = [
        ("learning rate", [profile.point.learning_rate for profile in profiles]), (metric_name, metric_values),
        ("net change", [profile.net_change for profile in profiles]),
        ("congruence loss\nwith the end", [profile.congruence_to_end for profile in profiles]),
        ("the same after\nthe best rotation", [profile.aligned_to_end for profile in profiles]),
        ("congruence loss\nof the student", [profile.congruence_to_student for profile in profiles]),
    ]
    curves = []
    for label, values in all_curves:
        known = [value for value in values if value is not None]
        if len(known) == len(profiles):
            curves.append((label, known))
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 0.6 + 1.5 * len(curves)), layout="constrained")
        panels: list[Axes] = list(figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0])
        for axes, (label, known), color in zip(panels, curves, COLORS, strict=False):
            axes.plot(epochs, known, ".-", color=color)
            axes.set(ylabel=plot_label(label), ylim=(0, None))
            for stage, anchor in enumerate(anchors):
                axes.axvline(epochs[anchor], color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
                if axes is panels[0]:
                    axes.text(epochs[anchor], 1.02, f"{stage}", transform=axes.get_xaxis_transform(), size=8,
                              ha="center", color="#57606a")
        panels[0].set_title(plot_label(title), loc="left", pad=14, size=10)
        panels[-1].set(xlabel="epoch of the teacher")
        return to_svg(figure)


def _metric_name(profiles: Sequence[PointProfile]) -> str | None:
    """Return the name of the teacher's metric; None where it was not measured."""
    return profiles[-1].metric_name


def students_picture(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Draw the congruence loss of students with the anchors they follow over the training; labels give the last value.

    The picture shows the lower bound of the congruence loss in the RCO paper: a student comes closer to an early anchor
    than to the converged teacher.

    Args:
        logs: by name of the run: the lines of ``log.jsonl`` of a student that follows an anchor; without another term
            than ``labels`` there is no curve.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        axes = figure.subplots()
        for (name, log), color in zip(logs.items(), COLORS * len(logs), strict=False):
            term = next((key for key in loss_terms(log[0]) if key not in ("loss", "labels")), None)
            if term is None:
                continue
            # One value per epoch; a run of less than half an epoch has its last value alone.
            by_epoch = {round(line["epoch"]): line.get(term, math.nan)
                        for line in log if line["epoch"] > 0.5 or line is log[-1]}
            values = list(by_epoch.values())
            axes.plot(list(by_epoch), values, color=color, label=f"{curve_label(name)}: {values[-1]:.3g}")
            axes.set(xlabel="epoch of the student", ylabel=f"{plot_label(term)} (weighted, training images)",
                     yscale="log")
        axes.legend(title="run: last epoch", loc="upper left", bbox_to_anchor=(1, 1))
        return to_svg(figure)
