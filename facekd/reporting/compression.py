"""The report of a compression: what to ship, what it costs, and what it loses to the teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facekd.io import files
from facekd.io.records import Record
from facekd.reporting import html
from facekd.reporting.plots.frontier import FrontierPoint, frontier_picture


class CompressedModel(Record):
    """One file of the compression with its cost and its figures; fractions, None where it was not measured.

    Attributes:
        network: the network of the file, e.g. ``teacher`` or ``student``; the precisions of one network are compared.
        precision: ``fp32``, ``fp16`` or ``int8``.
        file: the path of the file from the folder of the compression.
        parameters: number of parameters of the network.
        macs: multiply-adds for one image.
        bytes: the size of the file.
        milliseconds: the median latency of one image on this machine, on one thread.
        cosine: the mean cosine to the teacher on held-out crops.
        cosine_interval: its 95 % interval.
        cosine_low: the cosine below which 1 % of the crops lie.
        differ: the share of the pairs of held-out crops that teacher and model decide differently at the teacher's
            threshold.
        differ_at: that threshold, in words.
        accuracy: verification accuracy on the pair list.
        accuracy_interval: its 95 % interval.
        mixed_accuracy: the accuracy where one image of each pair is embedded by the teacher.
    """

    network: str
    precision: str
    file: str
    parameters: int
    macs: int
    bytes: int
    milliseconds: float | None
    cosine: float | None = None
    cosine_interval: tuple[float, float] | None = None
    cosine_low: float | None = None
    differ: float | None = None
    differ_at: str = ""
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    mixed_accuracy: float | None = None

    @property
    def name(self) -> str:
        """Network and precision, e.g. ``student int8``."""
        return f"{self.network} {self.precision}"


@dataclass(frozen=True)
class CompressionReport:
    """What the page shows.

    Attributes:
        teacher: the path of the teacher.
        answer: the sentence that says what to ship.
        models: the files, those of the teacher first.
        steps: name, command and seconds of each step.
        notes: sentences that a reader of the figures needs.
        budget_bytes: the largest file that was asked for, if any.
    """

    teacher: str
    answer: str
    models: Sequence[CompressedModel]
    steps: Sequence[tuple[str, str, float]]
    notes: Sequence[str]
    budget_bytes: float | None = None


HEADER = ["file", "parameters", "multiply-adds", "MB", "ms", "cosine to the teacher", "1 % below",
          "decided differently", "accuracy", "against the teacher's gallery"]


def model_cells(model: CompressedModel) -> list[str]:
    """Return the cells of a model, in the order of `HEADER`; empty where nothing was measured."""
    return [
        model.name, f"{model.parameters / 1e6:.3g} M", f"{model.macs / 1e6:.4g} M", f"{model.bytes / 1e6:.2f}",
        _optional(model.milliseconds, "{:.2f}"), _with_interval(model.cosine, model.cosine_interval, 1, 4),
        _optional(model.cosine_low, "{:.3f}"), _optional(model.differ, "{:.3%}"),
        _with_interval(model.accuracy, model.accuracy_interval, 100, 2), _optional(model.mixed_accuracy, "{:.2%}"),
    ]


def write_compression_report(report: CompressionReport, file: Path, worst: bytes | None) -> None:
    """Write the page.

    Args:
        report: its content.
        file: the ``.html`` to write.
        worst: a JPEG of the held-out crops on which student and teacher differ most.

    Raises:
        SetupError: the file cannot be written.
    """
    page = html.page(
        "Compression", report.teacher,
        html.section("Answer", html.paragraph(report.answer), *map(html.paragraph, report.notes)),
        html.section("Files", html.table(HEADER, map(model_cells, report.models)), *_pictures(report)),
        html.section("Where they differ most", *_worst(worst)),
        html.section("Steps", html.table(["step", "command", "time"],
                                         [(name, command, _duration(seconds))
                                          for name, command, seconds in report.steps], "facts")),
    )
    files.write_text(file, page)


def _pictures(report: CompressionReport) -> Iterator[str]:
    measured = [model for model in report.models if model.cosine is not None]
    if not measured:
        return
    by_size = [FrontierPoint(model.precision, model.network, model.bytes / 1e6, 1 - (model.cosine or 0))
               for model in measured]
    budget = report.budget_bytes / 1e6 if report.budget_bytes else None
    pictures = [html.svg(frontier_picture(by_size, "MB", "1 - cosine to the teacher", budget=budget),
                         "size of each file against its distance to the teacher")]
    timed = [model for model in measured if model.milliseconds is not None]
    if timed:
        by_time = [FrontierPoint(model.precision, model.network, model.milliseconds or 0, 1 - (model.cosine or 0))
                   for model in timed]
        pictures.append(html.svg(frontier_picture(by_time, "ms for one face, one thread", "1 - cosine to the teacher"),
                                 "latency of each file against its distance to the teacher"))
    yield html.side_by_side(*pictures)


def _worst(picture: bytes | None) -> Iterator[str]:
    if picture is not None:
        yield html.jpeg(picture, "the held-out crops on which student and teacher differ most, with their cosines")
        yield html.paragraph("The picture shows faces of your photographs: share this report only where they may be "
                             "shared.", "note")


def _optional(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)


def _with_interval(value: float | None, interval: tuple[float, float] | None, factor: float, digits: int) -> str:
    if value is None:
        return ""
    text = f"{factor * value:.{digits}f}"
    if interval is None:
        return text
    return f"{text} [{factor * interval[0]:.{digits}f}, {factor * interval[1]:.{digits}f}]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
