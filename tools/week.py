"""What a teacher and a student at MS-Celeb size need, from recipes/ms1m: memory, disk, steps and hours.

    python tools/week.py results/benchmarks/week.csv

Calculated: by what 'facekd doctor --recipe' calculates with, for a set of MS1MV2's size that need not be here.
Measured: read from other result files of results/benchmarks. Reported: images a second that others published of
their own
programs on 8 cards; ours was not run there, so the hours made of these are a guess, and say so.
"""

import argparse
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.config import DistillRecipe, TeachRecipe
from facekd.config.loading import load_recipe
from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Flip
from facekd.data.training_set import TrainingSet
from facekd.preflight.disk import run_disk
from facekd.preflight.job import Job
from facekd.preflight.memory import memory
from facekd.preflight.resources import spoken, total
from facekd.utils import files

ROOT = Path(__file__).resolve().parent.parent
RANKS, ANCHORS = 8, 4
IMAGES, PEOPLE, BYTES = 5_822_653, 85_742, 4_300
"""Of MS1MV2, as InsightFace's model zoo says; and of a 112 px JPEG, the mean of another set of aligned crops."""
IRESNET50 = 5_400, "8 A100, batch 1,024, fp16, reported of arcface_torch"
MOBILEFACENET = 4_300, "8 V100, reported of cavaface"
GALLERY = 1_000_000


class Sized(ImageSet):
    """A set that is not here, of which number of images and of people are known."""

    def __init__(self) -> None:
        self.path, self.labels = Path("faces"), np.arange(IMAGES) % PEOPLE
        self.names = [str(person) for person in range(PEOPLE)]

    def pixels(self, index: int) -> Pixels:
        """There are none."""
        raise NotImplementedError

    def content(self, index: int) -> bytes:
        """There is none."""
        raise NotImplementedError

    def where(self, index: int) -> str:
        """Its number."""
        return f"image {index}"


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    stage: str
    what: str
    figure: str
    basis: str


def training(stage: str, job: Job, speed: tuple[int, str]) -> list[Row]:
    """What one training needs."""
    steps = round(job.recipe.schedule.epochs * job.epoch_steps)
    shares = memory(job)
    largest = max(shares, key=lambda share: share.size)
    rate, source = speed
    hours = steps * job.step_images / rate / 3600
    disk = " + ".join(f"{spoken(share.size)} {share.what}" for share in run_disk(job))
    return [
        Row(stage, "steps of the optimiser", f"{steps:,}", f"calculated: {job.recipe.schedule.epochs:g} epochs"),
        Row(stage, f"memory of each of {RANKS} cards", spoken(total(shares)),
            f"calculated; the most of it: {largest.what}, {spoken(largest.size)}"),
        Row(stage, "disk", spoken(total(run_disk(job))), f"calculated: {disk}"),
        Row(stage, "hours", f"{hours:.1f}", f"a guess from {rate:,} img/s ({source})"),
    ]


def measured() -> list[Row]:
    """What other benchmarks measured."""
    bench = files.read_json(ROOT / "results/benchmarks/bench_identification-cpu2.json")
    seconds = min(bench["structured"]["seconds"]["facekd"])
    loader = files.read_json(ROOT / "results/benchmarks/bench_loader-cpu2.json")
    speed = loader["rates"]["2"]["facekd"]["core"]
    return [
        Row("data", "cores that decode as fast as 8 cards train", f"{IRESNET50[0] / speed:.1f}",
            f"calculated from {speed:,.0f} img/s a core, measured (bench_loader-cpu2.json)"),
        Row("measure", f"seconds, 3,530 probes among {GALLERY:,} distractors, 2 cores", f"{seconds:.0f}",
            "measured (bench_identification-cpu2.json), structured features of 512"),
    ]


def rows() -> list[Row]:
    """The whole table."""
    data = TrainingSet(Sized(), None, Flip(), Flip())
    folder, places = ROOT / "recipes/ms1m", ("faces=faces", "out=out")
    first, teacher = (Job(load_recipe(TeachRecipe, folder / f"{name}.yaml", places), data, RANKS, None)
                      for name in ("sub-centres", "teacher"))
    student = Job(load_recipe(DistillRecipe, folder / "distill.yaml", (*places, "plan=plan")), data, RANKS, None)
    cache = 2 * IMAGES * student.wanted.embedding * 2
    return [
        Row("data", "face set on disk", spoken(IMAGES * BYTES),
            f"calculated: {IMAGES:,} images of {BYTES:,} bytes, the mean of another set's crops"),
        *measured()[:1],
        *training("sub-centres", first, IRESNET50), *training("teacher", teacher, IRESNET50),
        Row("student", "teacher cache", spoken(ANCHORS * cache),
            f"calculated: {ANCHORS} anchors, images and their mirrors, float16; {spoken(cache)} an anchor"),
        *training("student", student, MOBILEFACENET), *measured()[1:],
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    a = parser.parse_args()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "what", "figure", "basis"])
    writer.writerows([row.stage, row.what, row.figure, row.basis] for row in rows())
    files.write_text(a.out, text.getvalue())


if __name__ == "__main__":
    main()
