"""``facekd demo``: the main job from end to end on synthetic faces, in a few minutes on two cores."""

from __future__ import annotations

from pathlib import Path

from facekd.api.distill import distill
from facekd.api.evaluate.megaface import megaface
from facekd.api.evaluate.verify import verify
from facekd.api.export import export
from facekd.api.plan import plan
from facekd.api.prepare import doctor, pack
from facekd.api.report import report
from facekd.api.train import teach
from facekd.data.synthetic.dataset import write_faces, write_pairs
from facekd.reporting.tables.table import Table
from facekd.utils.progress import console

PEOPLE, VIEWS = 150, 16
STRANGERS, STRANGER_VIEWS = 60, 8
DISTRACTORS = 400
FOLDS, PAIRS_PER_FOLD = 6, 200
FIRST_STRANGER, FIRST_DISTRACTOR = 10_000, 20_000
HEAD = ["head.scale=32", "head.margin=0.3"]
TEACHER = "{name: iresnet10, size: 48, embedding: 64, options: {width: 0.25}}"
STUDENT = "{name: mobilenetv2, size: 48, embedding: 64, options: {width: 0.25, expansion: 3, norm: true}}"
SCHEDULE = "schedule={epochs: 8, batch: 64, learning_rate: 0.05}"
MIMIC = "losses.l2=10"


def demo(out: Path) -> tuple[Table, Path]:
    """Render faces, pack them, teach, plan, distill with and without anchors, measure, export, report.

    What stands in ``out`` already is used again: a stopped demo continues. The faces are drawings; the figures say
    that the way works, and nothing about real people.

    Args:
        out: the folder to work in.

    Returns:
        the table of all runs, and the report page of the student trained along the route.
    """
    faces, strangers, pairs, distractors = _faces(out / "faces")
    for finding in doctor(faces, strangers, distractors).findings:
        console.print(f"doctor: {finding.level}: {finding.what}", markup=False)
    teacher = teach(faces, out / "teacher", f"model={TEACHER}", SCHEDULE, *HEAD)
    plan(teacher, out / "plans" / "mimic.json", "final", 1)
    plan(teacher, out / "plans" / "rco.json", "equal", 4)
    runs = [teacher, teach(faces, out / "labels", f"model={STUDENT}", SCHEDULE, *HEAD, "route.every=0")]
    for name in ("mimic", "rco"):
        student = distill(faces, out / "plans" / f"{name}.json", out / name, f"student={STUDENT}", SCHEDULE, MIMIC)
        runs.append(student)
    for run in runs:
        verify(run, pairs, strangers, name="strangers")
        megaface(run, strangers, distractors, name="strangers")
    package = runs[-1] / "package"
    if not package.exists():
        export(runs[-1], package, faces, pairs, strangers, name="student", max_drop=5)  # of a hasty student
    table, pages = report(*runs, out=out)
    return table, pages[len(runs) - 1]


def _faces(folder: Path) -> tuple[Path, Path, Path, Path]:
    """Draw the faces, once: training set as RecordIO, strangers with pairs, distractors."""
    packed, people, strangers, distractors = (folder / n for n in ("train", "people", "strangers", "distractors"))
    pairs = folder / "pairs.csv"
    if not pairs.exists():
        console.print("drawing synthetic faces")
        write_faces(people, range(PEOPLE), VIEWS)
        write_faces(distractors, range(FIRST_DISTRACTOR, FIRST_DISTRACTOR + DISTRACTORS), 1)
        known = range(FIRST_STRANGER, FIRST_STRANGER + STRANGERS)
        write_faces(strangers, known, STRANGER_VIEWS)
        if not (packed / "train.idx").exists():
            pack(people, packed)
        write_pairs(strangers, known, STRANGER_VIEWS, PAIRS_PER_FOLD, FOLDS, pairs)
    return packed, strangers, pairs, distractors
