"""The part of a run's page about closed-set classification: a table, calibration, and the accuracy of each class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facekd.reporting import formatting, html
from facekd.reporting.plots import training as plots
from facekd.reporting.plots.reliability import reliability_diagram
from facekd.reporting.run_data import Json

EXPLANATION = (
    "Rates in percent, with 95 % bootstrap intervals over the images in brackets. ECE: expected calibration error, "
    "15 bins. NLL: mean negative log-likelihood in nats. Agreement: share of the images for which the teacher predicts "
    "the same class; KL(teacher || model) in nats."
)
NAMED_CLASSES = 5
"""The number of classes that are named at either end, the worst and the best ones."""


def classification_elements(results: Sequence[Json]) -> Iterator[str]:
    """Yield the classification results of a run as HTML; nothing without results.

    Args:
        results: the contents of the ``classify-*.json`` files.
    """
    if not results:
        return
    yield html.heading("Classification")
    yield html.paragraph(EXPLANATION, "note")
    yield html.table(["test", "images", "classes", "top-1", "top-5", "ECE", "NLL", "agreement", "KL"],
                     [_row(result) for result in results])
    for result in results:
        for note in result["notes"]:
            yield html.paragraph(f"{result['name']}: {note}", "note")
    diagrams = {
        result["name"]: [(group["confidence"], group["accuracy"], group["count"])
                         for group in result["reliability"] if group["count"]]
        for result in results
    }
    yield html.side_by_side(
        html.heading("Calibration") + html.svg(reliability_diagram(diagrams), "accuracy over confidence"),
        *(_class_accuracies(result) for result in results),
    )


def _row(result: Json) -> list[str]:
    return [
        result["name"], formatting.count(result["images"]), formatting.count(result["classes"]),
        formatting.with_interval(result["top1"], result["top1_interval"]),
        formatting.with_interval(result["top5"], result["top5_interval"]),
        formatting.percent(result["ece"]), formatting.nats(result["nll"]), formatting.percent(result["agreement"]),
        formatting.nats(result["kl"]),
    ]


def _class_accuracies(result: Json) -> str:
    """Return a bar chart of the classes of one test, the hardest first, and the names of the worst and best classes."""
    classes = sorted((share, name) for name, share in result["per_class"].items() if share is not None)
    if len(classes) <= 2 * NAMED_CLASSES:
        groups = [("", classes)]
    else:
        groups = [("Lowest: ", classes[:NAMED_CLASSES]), ("Highest: ", classes[: -NAMED_CLASSES - 1 : -1])]
    notes = ""
    for label, group in groups:
        names = "; ".join(f"{name} {formatting.percent(share)}" for share, name in group)
        notes += html.paragraph(f"{label}{names}.", "note")
    picture = html.svg(plots.class_accuracy_bars([share for share, _ in classes]), "top-1 of every class, sorted")
    return html.heading(f"{result['name']} by class") + picture + notes
