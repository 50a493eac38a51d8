"""``report.html``: all that is known about one run, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facekd.reporting import formatting as text
from facekd.reporting import html
from facekd.reporting.plots import training as plots
from facekd.reporting.run_data import Json, Material, read_material
from facekd.reporting.run_report_classes import classification
from facekd.reporting.run_report_faces import face_results
from facekd.utils import files

FACTS = ("faces", "versions", "git", "hardware", "begun", "finished", "outcome")
PROVED = 2
"""The version of packages from which on each file has its proof."""
PEOPLE = "The picture shows faces of the test set: keep this report where the set itself may be."


def write_report(run: Path) -> Path:
    """Write ``report.html`` into a run folder, whatever the run has got to.

    Returns:
        The file.

    Raises:
        DataError: it is no run folder, or one of its files is damaged.
        SetupError: the disk is full.
    """
    file = run / "report.html"
    files.write_text(file, report(read_material(run)))
    return file


def report(material: Material) -> str:
    """The report as an HTML document."""
    info = material.info
    lead = [f"facekd {info.get('verb')}", text.model(info.get("model")), f"seed {material.recipe.get('seed')}",
            f"{info.get('outcome')}, begun {info.get('begun')}"]
    return html.page(
        material.name, " · ".join(lead),
        html.section("Results", *_results(material)),
        html.section("Sample pairs", *_pairs(material)),
        html.section("Training", *_training(material)),
        html.section("Anchors", *_anchors(material)),
        html.section("Size and speed", *_cost(material)),
        html.section("Where it comes from", html.facts(_facts(material))),
        html.section("Run it again", *_again(material)),
    )


def _results(material: Material) -> Iterator[str]:
    if not material.results:
        yield html.paragraph("This run has not been measured yet. Measure it, then write the report again:")
        yield html.verbatim("\n".join(_measurements(material)))
    yield from classification(material.found["classify"])
    yield from face_results(material.found)


def _measurements(material: Material) -> Iterator[str]:
    """The commands that measure a run: a classifier's where its head says that its outputs are logits."""
    if (material.recipe.get("head") or {}).get("name") == "softmax":
        yield f"facekd eval cifar --model {material.path} --data CLASSES"
    else:
        yield f"facekd eval verify --model {material.path} --images IMAGES --pairs PAIRS.csv"
        yield f"facekd eval megaface --model {material.path} --probes PROBES --distractors DISTRACTORS"
    yield f"facekd report {material.path}"


def _pairs(material: Material) -> Iterator[str]:
    sheets = [(result["name"], sheet) for result in material.found["verify"] if (sheet := material.sheet(result))]
    for name, sheet in sheets:
        yield html.heading(name)
        yield html.jpeg(sheet, f"pairs of {name} the model is most right and most wrong about, with their scores")
    if sheets:
        yield html.paragraph(PEOPLE, "note")


def _training(material: Material) -> Iterator[str]:
    if not material.log:
        yield html.paragraph("Nothing has been logged yet.")
        return
    anchors, last = material.anchors, material.log[-1]
    marks = [plots.Mark(epoch, _anchor_label(anchors[stage]))
             for stage, epoch in _begins(material.log).items() if stage < len(anchors)]
    picture = plots.training(material.log, marks, [point["epoch"] for point in material.points])
    yield html.svg(picture, "loss and learning rate over epochs")
    terms = ", ".join(f"{name} {value:.4g}" for name, value in plots.figures(last).items())
    yield html.paragraph(f"Last logged: step {last['step']:,}, epoch {last['epoch']:g}: {terms}.", "note")
    if material.points:
        yield html.paragraph(f"The route has {len(material.points)} recorded points.", "note")


def _begins(log: Sequence[Json]) -> dict[int, float]:
    """The epoch at which each stage began: that of the last line before it, as every stage's last step is logged."""
    before: list[Json] = [{"epoch": 0.0, "stage": None}, *log]
    return {b["stage"]: a["epoch"] for a, b in zip(before, log, strict=False) if a["stage"] != b["stage"]}


def _anchor_label(anchor: Json) -> str:
    return f"point {anchor['point']} (epoch {anchor['epoch']:g})"


def _anchors(material: Material) -> Iterator[str]:
    anchors = material.anchors
    if anchors:
        epochs = (material.recipe.get("schedule") or {}).get("epochs", 0)
        yield html.paragraph(f"Strategy: {material.info.get('strategy', text.NONE)}.")
        yield html.table(
            ["stage", "route point", "teacher's epoch", "teacher's learning rate", "student's epochs", "why"],
            [[str(number), str(a["point"]), f"{a['epoch']:g}", f"{a['learning_rate']:.3g}", f"{a['share'] * epochs:g}",
              a["why"]] for number, a in enumerate(anchors, 1)], "anchors",
        )


def _cost(material: Material) -> Iterator[str]:
    info, package, weights = material.info, material.package, material.path / "model.safetensors"
    pairs = [("model", text.model(info.get("model"))), ("parameters", text.count(info.get("parameters"))),
             ("multiply-adds of one image", text.millions(material.macs()))]
    if weights.is_file():
        pairs.append(("model.safetensors", f"{weights.stat().st_size / 1e6:.2f} MB"))
    yield html.facts(pairs)
    if package is None:
        yield html.paragraph(f"Not exported yet: 'facekd export {material.path}' does that, and times it.", "note")
        return
    yield html.heading("Package")
    if package.get("version", 1) < PROVED:
        yield html.paragraph("Made by an older facekd, without proofs: export it again.", "note")
        return
    yield html.table(["file", "size", "one image on one thread", "cosine to the network", "accuracy lost", "standing"],
                     [_exported(entry) for entry in package["files"].values()])
    for note in dict.fromkeys(note for entry in package["files"].values() for note in entry["notes"]):
        yield html.paragraph(note, "note")


def _exported(entry: Json) -> list[str]:
    """A row of the package's table; a file that was not run here says so."""
    proof, timing = entry["proof"], entry["latency"]
    cosine, lost = proof["cosine"], proof["verification"]
    if isinstance(cosine, dict):
        near = (cosine.get("crops") or cosine["noise"])["1"]
        cosine = f"{near['mean']:.4f}, least {near['minimum']:.4f}"
    if isinstance(lost, dict):
        drop = lost["drop"]["accuracy"]
        low, high = drop["interval"]
        lost = f"{drop['points']:+.2f} points [{low:+.2f}, {high:+.2f}] on {lost['pairs_file']}"
    timed = text.latency(timing) if isinstance(timing, dict) else str(timing)
    return [", ".join(entry["files"]), f"{entry['bytes'] / 1e6:.2f} MB", timed, cosine, lost, proof["standing"]]


def _facts(material: Material) -> Iterator[tuple[str, str]]:
    recipe, info = material.recipe, material.info
    yield from text.flat({f"recipe.{key}": recipe[key] for key in ("faces", "plan", "seed") if key in recipe})
    yield from text.flat({key: info[key] for key in FACTS if key in info})
    for _, result in material.results:
        yield f"measured: {result['name']}", f"{result.get('command')} ({result.get('hardware')})"


def _again(material: Material) -> Iterator[str]:
    verb = material.info.get("verb", "teach")
    yield html.paragraph("The command this run was begun with:")
    yield html.verbatim(str(material.info.get("command", text.NONE)))
    yield html.paragraph(f"Or keep this as recipe.yaml and run 'facekd {verb} --recipe recipe.yaml out=NEW_FOLDER':")
    yield html.verbatim(material.recipe_text)
