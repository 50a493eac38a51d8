"""A route to look at: learning rate, the teacher's metric and congruence, with a plan's anchors marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from facekd.reporting.plots.training import COLOURS, POSITION, STYLE, as_svg
from facekd.route.profile import Place


def route_table(places: Sequence[Place]) -> Table:
    """A line for each point, to print."""
    table = Table("point", "epoch", "learning rate", "recorded", "loss", "accuracy", "to the end", "to the student")
    for place in places:
        measured = (place.point.metrics.get("loss"), place.accuracy, place.to_end, place.to_student)
        table.add_row(str(place.number), f"{place.point.epoch:g}", f"{place.point.learning_rate:.3g}",
                      place.point.reason, *("" if value is None else f"{value:.4g}" for value in measured))
    return table


def route_picture(places: Sequence[Place], anchors: Sequence[int], title: str) -> str:
    """Three curves over the teacher's epochs, one under the other; those nobody measured are left out.

    Args:
        places: of the route, see `facekd.route.profile`.
        anchors: points that a plan names.
        title: above the picture.

    Returns:
        An SVG document.
    """
    epochs = [place.point.epoch for place in places]
    metric = [place.accuracy if place.accuracy is not None else place.point.metrics.get("loss") for place in places]
    name = "accuracy" if places[0].accuracy is not None else "training loss"
    curves: list[tuple[str, list[float | None]]] = [
        ("learning rate", [place.point.learning_rate for place in places]), (name, metric),
        ("congruence loss\nwith the end", [place.to_end for place in places]),
        ("congruence loss\nof the student", [place.to_student for place in places]),
    ]
    measured = ((label, [value for value in values if value is not None]) for label, values in curves)
    shown = [(label, values) for label, values in measured if len(values) == len(places)]
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 0.6 + 1.5 * len(shown)), layout="constrained")
        panels: list[Axes] = list(figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0])
        for axes, (label, values), colour in zip(panels, shown, COLOURS, strict=False):
            axes.plot(epochs, values, ".-", color=colour)
            axes.set(ylabel=label, ylim=(0, None))
            for stage, anchor in enumerate(anchors):
                axes.axvline(epochs[anchor], color="#8c959f", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
                if axes is panels[0]:
                    axes.text(epochs[anchor], 1.02, f"{stage}", transform=axes.get_xaxis_transform(), size=8,
                              ha="center", color="#57606a")
        panels[0].set_title(title, loc="left", pad=14, size=10)
        panels[-1].set(xlabel="epoch of the teacher")
        return as_svg(figure)


def students_picture(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """How far students stay from the anchor they follow, while they are trained; the last value of each is named.

    It shows what RCO's authors call the lower bound of the congruence loss: a student comes closer to an early anchor
    than to the converged teacher.

    Args:
        logs: by the runs' names: lines of ``log.jsonl`` of students that follow an anchor.

    Returns:
        An SVG document.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        axes = figure.subplots()
        for (name, log), colour in zip(logs.items(), COLOURS * len(logs), strict=False):
            term = next(key for key in log[0] if key not in (*POSITION, "loss", "labels"))
            by_epoch = {round(line["epoch"]): line[term] for line in log if line["epoch"] > 0.5 or line is log[-1]}
            axes.plot(list(by_epoch), list(by_epoch.values()), color=colour,
                      label=f"{name}: {list(by_epoch.values())[-1]:.3g}")
            axes.set(xlabel="epoch of the student", ylabel=f"{term} (weighted, training images)", yscale="log")
        axes.legend(title="run: last epoch", loc="upper left", bbox_to_anchor=(1, 1))
        return as_svg(figure)
