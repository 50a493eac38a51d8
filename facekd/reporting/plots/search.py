"""A student beside the teacher it was found in, layer by layer."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.figure import Figure

from facekd.models.architectures.resnet_pruned import Layout
from facekd.reporting.plots.training import COLOURS, STYLE, as_svg


def layers(layout: Layout) -> list[tuple[str, int]]:
    """Name and channels of the stem, of every block's inner convolution (0: dropped) and of every stage's output."""
    found = [("stem", layout.stem)]
    for stage, (width, inner) in enumerate(zip(layout.widths, layout.inner, strict=True), 1):
        found += [(f"stage {stage}, block {block}", count) for block, count in enumerate(inner, 1)]
        found.append((f"stage {stage}, output", width))
    return found


def search_picture(teacher: Layout, student: Layout, title: str) -> str:
    """Bars of channels, the first layer on top: the teacher's pale, the student's in it.

    Args:
        teacher: the layout that was searched.
        student: of the same blocks, some of them dropped.
        title: above the picture.

    Returns:
        An SVG document.
    """
    whole, left = layers(teacher), layers(student)
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 1.2 + 0.22 * len(whole)), layout="constrained")
        axes = figure.subplots()
        places = range(len(whole))
        axes.barh(places, [count for _, count in whole], 0.8, color="#d8dee4", label="teacher")
        axes.barh(places, [count for _, count in left], 0.8, color=COLOURS[0], label="student")
        for place, (_, before), (_, after) in zip(places, whole, left, strict=True):
            note = f"{after} of {before}" if after else "dropped"
            axes.text(before, place, f" {note}", va="center", size=8, color="#57606a" if after else COLOURS[1])
        axes.set_yticks(places, [name for name, _ in whole])
        axes.set(xlabel="channels", xlim=(0, 1.18 * max(count for _, count in whole)))
        axes.invert_yaxis()
        axes.grid(False)
        axes.legend(loc="upper right")
        axes.set_title(title, loc="left", size=10)
        return as_svg(figure)
