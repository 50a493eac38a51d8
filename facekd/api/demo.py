"""``facekd demo``: the complete workflow on synthetic faces, in a few minutes on two cores."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from facekd.api.data.doctor import doctor
from facekd.api.data.pack import pack
from facekd.api.deploy.export import export
from facekd.api.distill import distill
from facekd.api.evaluate.megaface import megaface
from facekd.api.evaluate.verify import verify
from facekd.api.plan import plan
from facekd.api.report import report
from facekd.api.train import train
from facekd.data.synthetic.dataset import write_faces, write_pairs
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.reporting.tables.table import Table
from facekd.utils.console import console

IDENTITIES = 150
IMAGES_PER_IDENTITY = 16
HELD_OUT_IDENTITIES = 60
IMAGES_PER_HELD_OUT = 8
DISTRACTORS = 400
FOLDS = 6
PAIRS_PER_FOLD = 200
FIRST_HELD_OUT = 10_000
"""Number of the first held-out identity; a synthetic face is a function of its number."""
FIRST_DISTRACTOR = 20_000
HEAD = ["head.scale=32", "head.margin=0.3"]
TEACHER = "{name: iresnet10, size: 48, embedding: 64, options: {width: 0.25}}"
STUDENT = "{name: mobilenetv2, size: 48, embedding: 64, options: {width: 0.25, expansion: 3, norm: true}}"
TRAINING = "training={epochs: 8, batch_size: 64, learning_rate: 0.05}"
MIMIC = "losses.l2=10"
MAX_DROP = 5
"""Percentage points of accuracy that the export may lose: the training of the demo is short."""


class DemoFaces(NamedTuple):
    """The face sets of the demo.

    Attributes:
        train: the training set as RecordIO.
        held_out: identities that are not in the training set.
        pairs: the pair list of the held-out images.
        distractors: one image each of further identities.
    """

    train: Path
    held_out: Path
    pairs: Path
    distractors: Path


def demo(out: Path | str) -> tuple[Table, Path]:
    """Render faces, pack them, train, plan, distill with and without a route, evaluate, export and report.

    Existing results in ``out`` are reused, so that a second call continues. The faces are synthetic: the figures show
    that the workflow runs, and nothing about real faces.

    Args:
        out: the working folder.

    Returns:
        the table of all runs, and the report page of the student that was trained along the route.
    """
    check_writable(out, folder=True)
    with lock_output(out):
        return _demo(Path(out))


def _demo(out: Path) -> tuple[Table, Path]:
    faces = _write_faces(out / "faces")
    for finding in doctor(faces.train, faces.held_out, faces.distractors).findings:
        console(stderr=True).print(f"doctor: {finding.level}: {finding.message}")
    teacher = train(faces.train, out / "teacher", f"model={TEACHER}", TRAINING, *HEAD)
    plan(teacher, out / "plans" / "mimic.json", strategy="final", anchors=1)
    plan(teacher, out / "plans" / "rco.json", strategy="equal", anchors=4)
    baseline = train(faces.train, out / "labels", f"model={STUDENT}", TRAINING, *HEAD, "route.every_epochs=0")
    runs = [teacher, baseline]
    for name in ("mimic", "rco"):
        plan_file = out / "plans" / f"{name}.json"
        runs.append(distill(faces.train, plan_file, out / name, f"student={STUDENT}", TRAINING, MIMIC))
    for run in runs:
        verify(run, faces.pairs, images=faces.held_out, name="held-out")
        megaface(run, faces.held_out, faces.distractors, name="held-out")
    package = runs[-1] / "package"
    if not package.exists():
        export(runs[-1], package, calibration=faces.train, pairs=faces.pairs, images=faces.held_out, name="student",
               gates=[f"accuracy={MAX_DROP:g}"])
    table, pages = report(*runs, out=out)
    return table, pages[len(runs) - 1]


def _write_faces(folder: Path) -> DemoFaces:
    """Render the faces, unless a previous call has finished them."""
    people = folder / "people"
    faces = DemoFaces(folder / "train", folder / "held_out", folder / "pairs.csv", folder / "distractors")
    if faces.pairs.exists():  # written last
        return faces
    console(stderr=True).print("rendering synthetic faces")
    write_faces(people, range(IDENTITIES), IMAGES_PER_IDENTITY)
    write_faces(faces.distractors, range(FIRST_DISTRACTOR, FIRST_DISTRACTOR + DISTRACTORS), 1)
    held_out = range(FIRST_HELD_OUT, FIRST_HELD_OUT + HELD_OUT_IDENTITIES)
    write_faces(faces.held_out, held_out, IMAGES_PER_HELD_OUT)
    if not (faces.train / "train.idx").exists():
        pack(people, faces.train)
    write_pairs(faces.held_out, held_out, IMAGES_PER_HELD_OUT, PAIRS_PER_FOLD, FOLDS, faces.pairs)
    return faces
