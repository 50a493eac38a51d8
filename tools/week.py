"""Estimate memory, disk, steps and hours of a teacher and a student at the size of MS-Celeb, for recipes/ms1m.

    python tools/week.py results/benchmarks/week.csv

Calculated figures come from the functions of 'facekd doctor --recipe', for a set of the size of MS1MV2, which is not
needed. Measured figures come from other files of results/benchmarks. Hours are guesses: they are calculated from images
per second that others published for their programs on 8 GPUs; facekd was not run there.
"""

import argparse
import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.config import DistillRecipe, TrainRecipe
from facekd.config.loading import load_recipe
from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Flip
from facekd.data.training_set import TrainingSet
from facekd.io import files
from facekd.io.documents import read_json
from facekd.preflight.disk import run_disk_use
from facekd.preflight.job import Job
from facekd.preflight.memory import memory_use
from facekd.preflight.resources import format_bytes, total_bytes

ROOT = Path(__file__).resolve().parent.parent
RANKS = 8
ANCHORS = 4
IMAGES = 5_822_653
IDENTITIES = 85_742
"""Images and identities of MS1MV2, from the model zoo of InsightFace."""
BYTES_PER_IMAGE = 4_300
"""Size of a JPEG of 112 px, the mean of another set of aligned crops."""
IRESNET50 = 5_400, "8 A100, batch 1,024, fp16, reported of arcface_torch"
MOBILEFACENET = 4_300, "8 V100, reported of cavaface"
DISTRACTORS = 1_000_000


class AbsentSet(ImageSet):
    """A set of known size without any images."""

    def __init__(self) -> None:
        self.path = Path("faces")
        self.labels = np.arange(IMAGES) % IDENTITIES
        self.class_names = [str(identity) for identity in range(IDENTITIES)]

    def pixels(self, index: int) -> Pixels:
        """Not available."""
        raise NotImplementedError

    def stored_bytes(self, index: int) -> bytes:
        """Not available."""
        raise NotImplementedError

    def location(self, index: int) -> str:
        """Return the number of the image."""
        return f"image {index}"


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    stage: str
    what: str
    figure: str
    basis: str


def training(stage: str, job: Job, speed: tuple[int, str]) -> list[Row]:
    """Return the rows of one training; ``speed`` is images per second and their source."""
    steps = round(job.recipe.training.epochs * job.steps_per_epoch)
    shares = memory_use(job)
    largest = max(shares, key=lambda share: share.size)
    rate, source = speed
    hours = steps * job.images_per_step / rate / 3600
    disk = " + ".join(f"{format_bytes(share.size)} {share.name}" for share in run_disk_use(job))
    return [
        Row(stage, "optimizer steps", f"{steps:,}", f"calculated: {job.recipe.training.epochs:g} epochs"),
        Row(stage, f"memory of each of {RANKS} cards", format_bytes(total_bytes(shares)),
            f"calculated; the most of it: {largest.name}, {format_bytes(largest.size)}"),
        Row(stage, "disk", format_bytes(total_bytes(run_disk_use(job))), f"calculated: {disk}"),
        Row(stage, "hours", f"{hours:.1f}", f"a guess from {rate:,} img/s ({source})"),
    ]


def measured() -> list[Row]:
    """Return the rows with figures of other benchmarks."""
    bench = read_json(ROOT / "results/benchmarks/bench_identification-cpu2.json")
    seconds = min(bench["structured"]["seconds"]["facekd"])
    loader = read_json(ROOT / "results/benchmarks/bench_loader-cpu2.json")
    speed = loader["rates"]["2"]["facekd"]["core"]
    return [
        Row("data", "cores that decode as fast as 8 cards train", f"{IRESNET50[0] / speed:.1f}",
            f"calculated from {speed:,.0f} img/s a core, measured (bench_loader-cpu2.json)"),
        Row("measure", f"seconds, 3,530 probes among {DISTRACTORS:,} distractors, 2 cores", f"{seconds:.0f}",
            "measured (bench_identification-cpu2.json), structured features of 512"),
    ]


def rows() -> list[Row]:
    """Return all rows of the table."""
    data = TrainingSet(AbsentSet(), None, Flip(), Flip())
    folder = ROOT / "recipes/ms1m"
    overrides = ("dataset=faces", "out=out")
    first, teacher = (Job(load_recipe(TrainRecipe, folder / f"{name}.yaml", overrides), data, RANKS, None)
                      for name in ("sub-centers", "teacher"))
    student = Job(load_recipe(DistillRecipe, folder / "distill.yaml", (*overrides, "plan=plan")), data, RANKS, None)
    cache = 2 * IMAGES * student.model_recipe.embedding * 2
    return [
        Row("data", "face set on disk", format_bytes(IMAGES * BYTES_PER_IMAGE),
            f"calculated: {IMAGES:,} images of {BYTES_PER_IMAGE:,} bytes, the mean of another set's crops"),
        *measured()[:1],
        *training("sub-centers", first, IRESNET50), *training("teacher", teacher, IRESNET50),
        Row("student", "teacher cache", format_bytes(ANCHORS * cache),
            f"calculated: {ANCHORS} anchors, images and their mirrors, float16; {format_bytes(cache)} an anchor"),
        *training("student", student, MOBILEFACENET), *measured()[1:],
    ]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "what", "figure", "basis"])
    writer.writerows([row.stage, row.what, row.figure, row.basis] for row in rows())
    files.write_text(args.out, text.getvalue())


if __name__ == "__main__":
    main()
