"""The searched student and its teacher, layer by layer."""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.figure import Figure

from facekd.models.architectures.resnet_pruned import Layout
from facekd.reporting.plots.training import COLORS, STYLE, to_svg
from facekd.text import plot_label


def layer_channels(layout: Layout) -> list[tuple[str, int]]:
    """Return the names and channels of the layers of a layout, in order.

    The layers are the stem, the inner convolution of every block (0: the block is dropped), and the output of every
    network stage.
    """
    channels = [("stem", layout.stem)]
    for stage, (width, inner) in enumerate(zip(layout.widths, layout.inner, strict=True), 1):
        channels += [(f"stage {stage}, block {block}", count) for block, count in enumerate(inner, 1)]
        channels.append((f"stage {stage}, output", width))
    return channels


def search_picture(teacher: Layout, student: Layout, title: str) -> str:
    """Draw the channels of every layer as bars, the first layer on top: gray for the teacher, blue for the student.

    Args:
        teacher: the layout of the teacher.
        student: the layout of the student, with the same blocks, some of them dropped.
        title: the text above the picture.

    Returns:
        An SVG document.
    """
    teacher_layers = layer_channels(teacher)
    student_layers = layer_channels(student)
    with rc_context(STYLE):
        figure = Figure(figsize=(7, 1.2 + 0.22 * len(teacher_layers)), layout="constrained")
        axes = figure.subplots()
        rows = range(len(teacher_layers))
        axes.barh(rows, [count for _, count in teacher_layers], 0.8, color="#d8dee4", label="teacher")
        axes.barh(rows, [count for _, count in student_layers], 0.8, color=COLORS[0], label="student")
        for row, (_, before), (_, after) in zip(rows, teacher_layers, student_layers, strict=True):
            note = f"{after} of {before}" if after else "dropped"
            axes.text(before, row, f" {note}", va="center", size=8, color="#57606a" if after else COLORS[1])
        axes.set_yticks(rows, [name for name, _ in teacher_layers])
        axes.set(xlabel="channels", xlim=(0, 1.18 * max(count for _, count in teacher_layers)))
        axes.invert_yaxis()
        axes.grid(False)
        axes.legend(loc="upper right")
        axes.set_title(plot_label(title), loc="left", size=10)
        return to_svg(figure)
