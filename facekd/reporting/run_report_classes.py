"""The part of a run's page on closed sets: a table, and pictures of the classes and of the calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facekd.reporting import formatting as text
from facekd.reporting import html
from facekd.reporting.plots import training as plots
from facekd.reporting.run_data import Json

EXPLAINED = (
    "Rates in percent, with 95 % bootstrap intervals over the images in brackets. ECE: expected calibration error, "
    "15 bins. NLL: mean negative log-likelihood in nats. Agreement: images on which the teacher puts the same class "
    "first; KL(teacher || model) in nats."
)
SHOWN = 5
"""Classes named at either end, the worst and the best."""


def classification(results: Sequence[Json]) -> Iterator[str]:
    """HTML of the classification results of a run; nothing where there are none.

    Args:
        results: what the ``classify-*.json`` files hold.
    """
    if not results:
        return
    yield html.heading("Classification")
    yield html.paragraph(EXPLAINED, "note")
    yield html.table(
        ["test", "images", "classes", "top-1", "top-5", "ECE", "NLL", "agreement", "KL"],
        [[r["name"], text.count(r["images"]), text.count(r["classes"]),
          text.with_interval(r["top1"], r["top1_interval"]), text.with_interval(r["top5"], r["top5_interval"]),
          text.percent(r["ece"]), text.nats(r["nll"]), text.percent(r["agreement"]), text.nats(r["kl"])]
         for r in results],
    )
    for result in results:
        for note in result["notes"]:
            yield html.paragraph(f"{result['name']}: {note}", "note")
    diagrams = {r["name"]: [(b["confidence"], b["accuracy"], b["count"]) for b in r["reliability"] if b["count"]]
                for r in results}
    yield html.row(
        html.heading("Calibration") + html.svg(plots.reliability(diagrams), "accuracy over confidence"),
        *(_by_class(r) for r in results),
    )


def _by_class(result: Json) -> str:
    """A picture of one test's classes, the hardest first, and the names at either end."""
    known = sorted((share, name) for name, share in result["per_class"].items() if share is not None)
    few = len(known) <= 2 * SHOWN
    ends = [("", known)] if few else [("Lowest: ", known[:SHOWN]), ("Highest: ", known[: -SHOWN - 1 : -1])]
    lines = [label + "; ".join(f"{name} {text.percent(share)}" for share, name in part) + "." for label, part in ends]
    picture = html.svg(plots.by_class([share for share, _ in known]), "top-1 of every class, sorted")
    notes = "".join(html.paragraph(line, "note") for line in lines)
    return html.heading(f"{result['name']} by class") + picture + notes
