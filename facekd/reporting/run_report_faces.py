"""The part of a run's page about faces: tables of verification, identification and templates, and their curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from facekd.reporting import formatting, html
from facekd.reporting.plots import training as plots
from facekd.reporting.run_data import Json

EXPLANATION = (
    "All rates in percent, with 95 % bootstrap intervals in brackets; ± is the standard deviation over the folds. "
    "The result files in results/ hold fractions."
)
MEAN = "mean"
"""The name of the mean over the galleries in a result of IJB."""


def face_elements(results: Mapping[str, Sequence[Json]]) -> Iterator[str]:
    """Yield the results of a run on faces as HTML; nothing without results.

    Args:
        results: the results by their kind, see `facekd.reporting.run_data.RunData.results`.
    """
    verify = results["verify"]
    megaface = results["megaface"]
    ijb = results["ijb"]
    template_pairs = [{**result["verification"], "name": result["name"]} for result in ijb if result["verification"]]
    open_set = [*results["identify"], *(gallery for result in ijb for gallery in _galleries(result))]
    if verify or megaface or ijb or open_set:
        yield html.paragraph(EXPLANATION, "note")
    if verify:
        yield from _verification(verify)
    if megaface:
        yield from _distractors(megaface)
    if template_pairs:
        yield from _template_pairs(template_pairs)
    if open_set:
        yield from _open_set(open_set)
    yield from _notes(ijb)
    yield html.side_by_side(_roc(verify), _cmc("CMC among distractors", megaface), _cmc("CMC in a gallery", open_set))


def _verification(results: Sequence[Json]) -> Iterator[str]:
    fars = _operating_points(results, "tar")
    yield html.heading("Verification")
    yield html.table(
        ["test", "pairs", "accuracy", "± folds", *(f"TAR@FAR {far}" for far in fars), "AUC", "EER", "threshold"],
        [[result["name"], formatting.count(result["pairs"]),
          formatting.with_interval(result["accuracy"], result["accuracy_interval"]),
          formatting.percent(result["accuracy_std"]), *_rate_cells(result, "tar", fars),
          formatting.percent(result["auc"]), formatting.percent(result["eer"]), f"{result['threshold']:.4f}"]
         for result in results],
    )
    yield from _notes(results)


def _distractors(results: Sequence[Json]) -> Iterator[str]:
    fars = _operating_points(results, "tar")
    yield html.heading("Identification among distractors")
    yield html.table(
        ["test", "probes", "people", "distractors", "pairs", "rank 1", *(f"TAR@FAR {far}" for far in fars)],
        [[result["name"], *_counts(result, "probes", "identities", "distractors", "pairs"),
          formatting.with_interval(result["rank1"], result["rank1_interval"]), *_rate_cells(result, "tar", fars)]
         for result in results],
    )
    yield from _notes(results)


def _template_pairs(results: Sequence[Json]) -> Iterator[str]:
    fars = _operating_points(results, "tar")
    yield html.heading("Verification of templates (1:1)")
    yield html.table(
        ["test", "templates", "people", "genuine pairs", "impostor pairs", *(f"TAR@FAR {far}" for far in fars)],
        [[result["name"], *_counts(result, "templates", "identities", "genuine", "impostors"),
          *_rate_cells(result, "tar", fars)] for result in results],
    )
    yield from _notes(results)


def _open_set(results: Sequence[Json]) -> Iterator[str]:
    ranks = _operating_points(results, "rank")
    fpirs = _operating_points(results, "tpir")
    yield html.heading("Identification in a gallery (1:N)")
    yield html.table(
        ["test", "people in the gallery", "probes with a mate", "other probes", *(f"rank {rank}" for rank in ranks),
         *(f"TPIR@FPIR {fpir}" for fpir in fpirs)],
        [[result["name"], *_counts(result, "gallery_identities", "mated", "unmated"),
          *_rate_cells(result, "rank", ranks), *_rate_cells(result, "tpir", fpirs)] for result in results],
    )
    yield from _notes(results)


def _galleries(result: Json) -> Iterator[Json]:
    """Yield the 1:N result of each gallery of IJB, and their mean if there are several galleries."""
    for gallery, gallery_result in result["identification"].items():
        if gallery != MEAN:
            yield {**gallery_result, "name": f"{result['name']} {gallery}"}
        elif gallery_result["galleries"] > 1:
            yield {**gallery_result, "name": f"{result['name']}, mean of {gallery_result['galleries']} galleries"}


def _operating_points(results: Sequence[Json], rates: str) -> list[str]:
    """Return the FARs, FPIRs or ranks at which any of the results has a rate."""
    return list(dict.fromkeys(operating_point for result in results for operating_point in result[rates]))


def _rate_cells(result: Json, rates: str, operating_points: Sequence[str]) -> list[str]:
    intervals = result[f"{rates}_interval"]
    return [formatting.with_interval(result[rates].get(point), intervals.get(point)) for point in operating_points]


def _counts(result: Json, *keys: str) -> list[str]:
    return [formatting.count(result[key]) for key in keys]


def _notes(results: Sequence[Json]) -> Iterator[str]:
    for result in results:
        for note in result["notes"]:
            yield html.paragraph(f"{result['name']}: {note}", "note")


def _roc(results: Sequence[Json]) -> str:
    curves = {result["name"]: (result["roc"]["far"], result["roc"]["tar"]) for result in results if result.get("roc")}
    if not curves:
        return ""
    return html.heading("ROC") + html.svg(plots.roc_curves(curves), "true accept rate over false accept rate")


def _cmc(title: str, results: Sequence[Json]) -> str:
    curves = {result["name"]: result["cmc"] for result in results}
    return html.heading(title) + html.svg(plots.cmc_curves(curves), "identification rate over rank") if curves else ""
