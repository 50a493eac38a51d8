"""The part of a run's page about thresholds, probabilities, agreement with the teacher, and groups of people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facekd.evaluation.groups.result import describe_rate
from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.verification.probability import describe_calibration, reliability_points
from facekd.reporting import formatting, html
from facekd.reporting.plots.reliability import reliability_diagram
from facekd.reporting.run_data import Json, RunData


def comparison_elements(run: RunData) -> Iterator[str]:
    """Yield the comparisons of a run as HTML; nothing without results."""
    verify = run.results["verify"]
    yield from _thresholds([result for result in verify if result.get("all_impostors")])
    yield from _probabilities([result for result in verify if result.get("probability")])
    yield from _agreement(run.comparisons.get("agree", ()))
    yield from _groups(run.comparisons.get("groups", ()))


def _thresholds(results: Sequence[Json]) -> Iterator[str]:
    if not results:
        return
    yield html.heading("Thresholds of all impostor pairs of the images")
    rows = []
    for result in results:
        found = result["all_impostors"]
        for far, threshold in found["thresholds"].items():
            if threshold is not None:
                low, high = found["threshold_interval"].get(far) or (threshold, threshold)
                rows.append([result["name"], formatting.count(found["impostor_pairs"]), far,
                             f"{threshold:.3f} [{low:.3f}, {high:.3f}]",
                             formatting.with_interval(found["tar"].get(far), found["tar_interval"].get(far))])
    yield html.table(["test", "impostor pairs", "FAR", "threshold", "TAR"], rows)
    for note in dict.fromkeys(note for result in results for note in result["all_impostors"]["notes"]):
        yield html.paragraph(note, "note")


def _probabilities(results: Sequence[Json]) -> Iterator[str]:
    if not results:
        return
    yield html.heading("Probability of one person")
    for result in results:
        yield html.paragraph(f"{result['name']}: {describe_calibration(result['probability'])}", "note")
    diagrams = {result["name"]: points for result in results if (points := reliability_points(result["probability"]))}
    if diagrams:
        yield html.svg(reliability_diagram(diagrams, "probability of one person (%)", "pairs of one person (%)"),
                       "share of pairs of one person over their predicted probability")


def _agreement(results: Sequence[Json]) -> Iterator[str]:
    if not results:
        return
    yield html.heading("Agreement with the teacher")
    yield html.table(
        ["test", "images", "mean cosine", "lowest 1 % of the cosines", "pairs", "rank correlation"],
        [[result["name"], formatting.count(result["images"]), _estimate((result["cosine"] or {}).get("mean")),
          _estimate((result["cosine"] or {}).get("percentile1")), formatting.count(result["pairs"]),
          _estimate(result["rank_correlation"])] for result in results])
    rows = [[result["name"], found["far"] or formatting.MISSING, f"{found['threshold']:.3f}",
             formatting.count(found["teacher_accepts"]), formatting.count(found["student_accepts"]),
             formatting.with_interval(found["differ"]["value"], found["differ"]["interval"]),
             formatting.with_interval(found["kept"]["value"], found["kept"]["interval"]) if found["kept"]
             else formatting.MISSING]
            for result in results for found in result["decisions"]]
    yield html.table(["test", "FAR", "teacher's threshold", "teacher accepts", "student accepts",
                      "decided differently (%)", "kept of the teacher's (%)"], rows)
    yield from _notes(results)


def _groups(results: Sequence[Json]) -> Iterator[str]:
    if not results:
        return
    yield html.heading("Error rates by group")
    yield html.table(
        ["test", "threshold", "group", "people", "false match rate", "false non-match rate"],
        [[result["name"], f"{result['threshold']:.3f}", group["group"], formatting.count(group["people"]),
          _rate(group["fmr"], group["false_matches"], group["impostor_pairs"]),
          _rate(group["fnmr"], group["false_non_matches"], group["genuine_pairs"])]
         for result in results for group in result["groups"]])
    for result in results:
        for name, ratio in (("false match", result["worst_fmr"]), ("false non-match", result["worst_fnmr"])):
            if ratio:
                ends = ", ".join("no end" if end is None else f"{end:.2f}" for end in ratio["interval"])
                yield html.paragraph(f"{result['name']}: worst ratio of {name} rates {ratio['value']:.2f} [{ends}], "
                                     f"{ratio['highest']} over {ratio['lowest']}", "note")
    yield from _notes(results)


def _rate(rate: Json | None, errors: int, pairs: int) -> str:
    estimate = Estimate(rate["value"], (rate["interval"][0], rate["interval"][1])) if rate else None
    return describe_rate(estimate, errors, pairs)


def _estimate(estimate: Json | None) -> str:
    """Return a figure that is no rate with its interval."""
    if estimate is None:
        return formatting.MISSING
    low, high = estimate["interval"]
    return f"{estimate['value']:.4f} [{low:.4f}, {high:.4f}]"


def _notes(results: Sequence[Json]) -> Iterator[str]:
    for result in results:
        for note in result["notes"]:
            yield html.paragraph(f"{result['name']}: {note}", "note")
