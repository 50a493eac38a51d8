"""The part of a run's page on faces: tables of verification, identification, templates and search, and their curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from facekd.reporting import formatting as text
from facekd.reporting import html
from facekd.reporting.plots import training as plots
from facekd.reporting.run_data import Json

INTERVALS = (
    "All rates in percent, with 95 % bootstrap intervals in brackets; ± is the standard deviation over the folds. "
    "The result files in results/ hold fractions."
)
MEAN = "mean"
"""What the mean over its galleries is called in a result of IJB."""


def face_results(found: Mapping[str, Sequence[Json]]) -> Iterator[str]:
    """HTML of the results on faces of a run; nothing where there are none.

    Args:
        found: the results of each kind, see `facekd.reporting.run_data.Material.found`.
    """
    verify, megaface, ijb = found["verify"], found["megaface"], found["ijb"]
    pairs = [{**result["verification"], "name": result["name"]} for result in ijb if result["verification"]]
    searched = [*found["search"], *(part for result in ijb for part in _galleries(result))]
    if verify or megaface or ijb or searched:
        yield html.paragraph(INTERVALS, "note")
    if verify:
        fars = _places(verify, "tar")
        yield html.heading("Verification")
        yield html.table(
            ["test", "pairs", "accuracy", "± folds", *(f"TAR@FAR {far}" for far in fars), "AUC", "EER", "threshold"],
            [[r["name"], text.count(r["pairs"]), text.with_interval(r["accuracy"], r["accuracy_interval"]),
              text.percent(r["accuracy_std"]), *_rates(r, "tar", fars), text.percent(r["auc"]), text.percent(r["eer"]),
              f"{r['threshold']:.4f}"] for r in verify],
        )
        yield from _notes(verify)
    if megaface:
        fars = _places(megaface, "tar")
        yield html.heading("Identification among distractors")
        yield html.table(
            ["test", "probes", "people", "distractors", "pairs", "rank 1", *(f"TAR@FAR {far}" for far in fars)],
            [[r["name"], *(text.count(r[key]) for key in ("probes", "identities", "distractors", "pairs")),
              text.with_interval(r["rank1"], r["rank1_interval"]), *_rates(r, "tar", fars)] for r in megaface],
        )
        yield from _notes(megaface)
    if pairs:
        fars = _places(pairs, "tar")
        yield html.heading("Verification of templates (1:1)")
        yield html.table(
            ["test", "templates", "people", "genuine pairs", "impostor pairs", *(f"TAR@FAR {far}" for far in fars)],
            [[r["name"], *(text.count(r[key]) for key in ("templates", "people", "genuine", "impostors")),
              *_rates(r, "tar", fars)] for r in pairs],
        )
        yield from _notes(pairs)
    if searched:
        ranks, fpirs = _places(searched, "rank"), _places(searched, "tpir")
        yield html.heading("Search in a gallery (1:N)")
        yield html.table(
            ["test", "people in the gallery", "probes of them", "other probes", *(f"rank {rank}" for rank in ranks),
             *(f"TPIR@FPIR {fpir}" for fpir in fpirs)],
            [[r["name"], *(text.count(r[key]) for key in ("gallery", "mated", "unmated")),
              *_rates(r, "rank", ranks), *_rates(r, "tpir", fpirs)] for r in searched],
        )
        yield from _notes(searched)
    yield from _notes(ijb)
    rocs = {r["name"]: (r["roc"]["far"], r["roc"]["tar"]) for r in verify if r.get("roc")}
    yield html.row(
        html.heading("ROC") + html.svg(plots.roc(rocs), "true accept rate over false accept rate") if rocs else "",
        _cmc("CMC among distractors", megaface), _cmc("CMC in a gallery", searched),
    )


def _galleries(result: Json) -> Iterator[Json]:
    """The search in each gallery of a result of IJB, and the mean of them unless there is only one."""
    for name, part in result["search"].items():
        if name != MEAN:
            yield {**part, "name": f"{result['name']} {name}"}
        elif part["galleries"] > 1:
            yield {**part, "name": f"{result['name']}, mean of {part['galleries']} galleries"}


def _places(results: Sequence[Json], rates: str) -> list[str]:
    """Where some result has a rate: FARs, FPIRs or ranks."""
    return list(dict.fromkeys(place for result in results for place in result[rates]))


def _rates(result: Json, rates: str, places: Sequence[str]) -> list[str]:
    return [text.with_interval(result[rates].get(place), result[f"{rates}_interval"].get(place)) for place in places]


def _notes(results: Sequence[Json]) -> Iterator[str]:
    for result in results:
        for note in result["notes"]:
            yield html.paragraph(f"{result['name']}: {note}", "note")


def _cmc(heading: str, results: Sequence[Json]) -> str:
    curves = {result["name"]: result["cmc"] for result in results}
    return html.heading(heading) + html.svg(plots.cmc(curves), "identification rate over rank") if curves else ""
