"""``report.html``: everything about one run, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facekd.io import files
from facekd.reporting import formatting, html
from facekd.reporting.plots import cosines
from facekd.reporting.plots import training as plots
from facekd.reporting.run_data import Json, RunData
from facekd.reporting.run_report_classes import classification_elements
from facekd.reporting.run_report_comparisons import comparison_elements
from facekd.reporting.run_report_faces import face_elements

PROVENANCE_KEYS = ("dataset", "versions", "git", "hardware", "started", "finished", "outcome")
"""The keys of ``run.json`` that the report shows."""
FACES_WARNING = "The picture shows faces of the test set: share this report only where the set itself may be shared."


def write_report(run: RunData) -> Path:
    """Write ``report.html`` into a run folder; the run may be unfinished.

    Returns:
        The file.

    Raises:
        SetupError: the disk is full.
    """
    file = run.path / "report.html"
    files.write_text(file, render_report(run))
    return file


def render_report(run: RunData) -> str:
    """Return the report as an HTML document."""
    info = run.info
    model = formatting.model(info.get("model"), info.get("parameters"))
    lead = [f"facekd {info.get('command')}", model, f"seed {run.recipe.get('seed')}",
            f"{info.get('outcome')}, begun {info.get('started')}"]
    return html.page(
        run.name, " · ".join(lead),
        html.section("Results", *_results(run)),
        html.section("Sample pairs", *_sample_pairs(run)),
        html.section("Training", *_training(run)),
        html.section("Anchors", *_anchors(run)),
        html.section("Size and speed", *_cost(run)),
        html.section("Provenance", html.key_value_table(_provenance(run))),
        html.section("Reproduction", *_reproduction(run)),
    )


def _results(run: RunData) -> Iterator[str]:
    if not run.all_results:
        yield html.paragraph("This run has not been measured yet. Measure it, then write the report again:")
        yield html.preformatted("\n".join(_evaluation_commands(run)))
    yield from classification_elements(run.results["classify"])
    yield from face_elements(run.results)
    yield from comparison_elements(run)


def _evaluation_commands(run: RunData) -> Iterator[str]:
    """Yield the commands that measure a run: those of a classifier if it has a softmax head."""
    if (run.recipe.get("head") or {}).get("name") == "softmax":
        yield f"facekd eval cifar --model {run.path} --data CLASSES"
    else:
        yield f"facekd eval verify --model {run.path} --images IMAGES --pairs PAIRS.csv"
        yield f"facekd eval megaface --model {run.path} --probes PROBES --distractors DISTRACTORS"
    yield f"facekd report {run.path}"


def _sample_pairs(run: RunData) -> Iterator[str]:
    pictures = [(result["name"], grid) for result in run.results["verify"] if (grid := run.pair_grid(result))]
    for name, grid in pictures:
        yield html.heading(name)
        yield html.jpeg(grid, f"the most clearly right and the most clearly wrong pairs of {name}, with their scores")
    if pictures:
        yield html.paragraph(FACES_WARNING, "note")


def _training(run: RunData) -> Iterator[str]:
    if not run.log:
        yield html.paragraph("Nothing has been logged yet.")
        return
    anchors = run.anchors
    marks = [plots.Mark(epoch, _anchor_label(anchors[stage]))
             for stage, epoch in _stage_starts(run.log).items() if stage < len(anchors)]
    picture = plots.training_curves(run.log, marks, run.points)
    yield html.svg(picture, "loss and learning rate over epochs")
    if any(key in line for line in run.log for key in cosines.COSINES):
        yield html.svg(cosines.cosine_curves(run.log), "cosine of the embeddings to the teacher's over epochs")
    if fit := run.info.get("teacher_fit"):
        sentence = fit.get("sentence", "")
        yield html.paragraph(f"{sentence[:1].upper()}{sentence[1:]}.")
    last_line = run.log[-1]
    terms = ", ".join(f"{name} {value:.4g}" for name, value in plots.loss_terms(last_line).items())
    yield html.paragraph(f"Last logged: step {last_line['step']:,}, epoch {last_line['epoch']:g}: {terms}.", "note")
    if run.points:
        yield html.paragraph(f"The route has {len(run.points)} recorded points.", "note")


def _stage_starts(log: Sequence[Json]) -> dict[int, float]:
    """Return the epoch at which each stage began.

    The last step of every stage is logged, so that a stage begins at the epoch of the last line before it.
    """
    previous_lines: list[Json] = [{"epoch": 0.0, "stage": None}, *log]
    return {line["stage"]: previous["epoch"] for previous, line in zip(previous_lines, log, strict=False)
            if previous["stage"] != line["stage"]}


def _anchor_label(anchor: Json) -> str:
    return f"point {anchor['point']} (epoch {anchor['epoch']:g})"


def _anchors(run: RunData) -> Iterator[str]:
    if run.diagnosis:
        yield html.paragraph(f"Would a route help this student? {run.diagnosis}.")
    if not run.anchors:
        return
    epochs = (run.recipe.get("training") or {}).get("epochs", 0)
    yield html.paragraph(f"Strategy: {run.info.get('strategy', formatting.MISSING)}.")
    yield html.table(
        ["stage", "route point", "teacher's epoch", "teacher's learning rate", "student's epochs", "reason"],
        [[str(number), str(anchor["point"]), f"{anchor['epoch']:g}", f"{anchor['learning_rate']:.3g}",
          f"{anchor['share'] * epochs:g}", anchor["stage_reason"]] for number, anchor in enumerate(run.anchors, 1)],
        "anchors",
    )


def _cost(run: RunData) -> Iterator[str]:
    pairs = [("model", formatting.model(run.info.get("model"), run.info.get("parameters"))),
             ("parameters", formatting.count(run.info.get("parameters"))),
             ("multiply-adds of one image", formatting.millions(run.macs()))]
    weights = run.path / "model.safetensors"
    if weights.is_file():
        pairs.append(("model.safetensors", f"{weights.stat().st_size / 1e6:.2f} MB"))
    yield html.key_value_table(pairs)
    if run.package is None:
        yield html.paragraph(f"Not exported yet: 'facekd export {run.path}' does that, and times it.", "note")
        return
    entries = run.package["files"].values()
    yield html.heading("Package")
    yield html.table(["file", "size", "one image on one thread", "cosine to the network", "accuracy lost", "status"],
                     [_package_row(entry) for entry in entries])
    for note in dict.fromkeys(note for entry in entries for note in entry["notes"]):
        yield html.paragraph(note, "note")


def _package_row(entry: Json) -> list[str]:
    """Return the table row of an exported file; the values of a file that was not run are the text ``not run``."""
    validation = entry["validation"]
    timing = entry["latency"]
    cosine = validation["cosine"]
    if isinstance(cosine, dict):
        batch_of_one = (cosine.get("crops") or cosine["noise"])["1"]
        cosine = f"{batch_of_one['mean']:.4f}, least {batch_of_one['minimum']:.4f}"
    verification = validation["verification"]
    if isinstance(verification, dict):
        drop = verification["drop"]["accuracy"]
        low, high = drop["interval"]
        verification = f"{drop['points']:+.2f} points [{low:+.2f}, {high:+.2f}] on {verification['pairs_file']}"
    latency = formatting.latency(timing) if isinstance(timing, dict) else str(timing)
    return [", ".join(entry["files"]), f"{entry['bytes'] / 1e6:.2f} MB", latency, cosine, verification,
            validation["status"]]


def _provenance(run: RunData) -> Iterator[tuple[str, str]]:
    recipe = {f"recipe.{key}": run.recipe[key] for key in ("dataset", "plan", "seed") if key in run.recipe}
    yield from formatting.flatten(recipe)
    yield from formatting.flatten({key: run.info[key] for key in PROVENANCE_KEYS if key in run.info})
    for _, result in run.all_results:
        yield f"measured: {result['name']}", f"{result.get('command_line')} ({result.get('hardware')})"


def _reproduction(run: RunData) -> Iterator[str]:
    command = run.info.get("command", "train")
    yield html.paragraph("The command that began this run:")
    yield html.preformatted(str(run.info.get("command_line", formatting.MISSING)))
    yield html.paragraph(f"Or save this as recipe.yaml and run 'facekd {command} --recipe recipe.yaml out=NEW_FOLDER':")
    yield html.preformatted(run.recipe_text)
