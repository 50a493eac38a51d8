"""Mistakes in a job that can be seen before it is begun; each check gives the findings it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from facekd.config.loading import differences
from facekd.data.diagnosis.finding import Finding
from facekd.errors import DataError
from facekd.preflight.job import Job
from facekd.preflight.resources import Share, spoken, total
from facekd.run import Run
from facekd.utils.files import read_json

Findings = Iterator[Finding]
RATE, IMAGES = 0.1, 512
"""SGD's rate for a step of so many images, as in arcface_torch's configurations ("lr = 0.1  # batch size is 512"; newer
ones have 0.1 to 0.2 for 1,024 and 0.4 for 4,096), to be scaled with the images (Goyal et al., arXiv 1706.02677)."""

ADAMW_RATE = 1e-3
"""AdamW's rate there, whatever the batch."""

FACTOR = 4.0
"""How far from these a rate may lie without a word."""

TIGHT = 0.8
"""Share of what is free above which an estimate is called tight."""


def batch(job: Job) -> Findings:
    """Batches that cannot be shared out, or that the set does not fill."""
    size, images = job.recipe.schedule.batch, len(job.data.images)
    if size % job.ranks:
        yield Finding("error", f"a batch of {size} images cannot be shared out equally among {job.ranks} processes", "",
                      f"set schedule.batch to a multiple of {job.ranks}", 1)
    if job.step_images > images:
        yield Finding("error", f"{job.data.images.path} holds {images:,} images, fewer than one step of "
                      f"{job.step_images:,}", "", "set schedule.batch or .accumulate lower", 1)


def learning_rate(job: Job) -> Findings:
    """A rate far from what others train faces with at this size of a step."""
    schedule = job.recipe.schedule
    sgd = schedule.optimizer == "sgd"
    if job.recipe.head.closed and sgd:
        return  # classifiers of small images have conventions of their own
    usual = RATE * job.step_images / IMAGES if sgd else ADAMW_RATE
    if usual / FACTOR <= schedule.learning_rate <= usual * FACTOR:
        return
    rule = f"{RATE:g} for {IMAGES} images a step, in proportion" if sgd else f"{ADAMW_RATE:g} with AdamW"
    what = (f"schedule.learning_rate={schedule.learning_rate:g} is {schedule.learning_rate / usual:.2g} times what "
            f"arcface_torch trains faces with at {job.step_images:,} images a step ({rule})")
    yield Finding("warning", what, "", f"start from schedule.learning_rate={usual:.2g}, or try yours for an epoch", 1)


def classes(job: Job) -> Findings:
    """A teacher or a begun run that knows another number of classes than the data have."""
    if job.walk and job.recipe.head.closed and (spec := job.walk[1].spec) and spec.outputs != job.classes:
        yield Finding("error", f"the teacher knows {spec.outputs:,} classes and {job.data.images.path} has "
                      f"{job.classes:,}", str(job.walk[1].folder), "train both on the same classes", 1)
    if job.classes < job.ranks and not job.recipe.head.closed:
        yield Finding("error", f"{job.classes} classes cannot be shared out among {job.ranks} processes", "",
                      "use fewer processes", 1)


def folder(job: Job) -> Findings:
    """A run folder that holds another run, which would be refused."""
    run = Run(Path(job.recipe.out))
    if not (run.path / "run.json").exists():
        return
    changed = differences(run.path / "recipe.yaml", job.recipe)
    try:
        known = read_json(run.path / "run.json").get("faces", {}).get("classes", job.classes)
    except DataError as problem:
        changed, known = str(problem), job.classes
    if known != job.classes:
        changed = f"it was begun with {known:,} classes, and the data have {job.classes:,}"
    if changed:
        yield Finding("error", f"{run.path} holds a run of another recipe or other data", changed,
                      "set out to another folder, or delete that one", 1)


def fits_memory(job: Job, shares: list[Share]) -> Findings:
    """More memory than this machine has."""
    free, where = _free_memory(job)
    yield from _fits(total(shares) * (1 if job.device == "cuda" else job.ranks), free, where,
                     "lower schedule.batch (with .accumulate), set machine.checkpointing=true or a 16-bit "
                     "machine.precision, or use more processes: they share the classes")


def fits_disk(job: Job, run: list[Share], cache: list[Share]) -> Findings:
    """More disk than is free where the run and the teacher cache will lie."""
    needs: dict[int, tuple[int, Path]] = {}
    places = [(run, Path(job.recipe.out)), *([(cache, job.walk[1].folder)] if job.walk else [])]
    for shares, place in places:
        there = next(path for path in (place.resolve(), *place.resolve().parents) if path.exists())
        device = os.stat(there).st_dev
        needs[device] = total(shares) + needs.get(device, (0, there))[0], there
    for size, there in needs.values():
        yield from _fits(size, shutil.disk_usage(there).free, f"are free on the disk of {there}",
                         "free some space, set route.every higher or machine.checkpoints=1, or name another place")


def _fits(need: int, free: int, where: str, advice: str) -> Findings:
    what = f"{spoken(need)} are needed and {spoken(free)} {where}"
    if need > free:
        yield Finding("error", what, "", advice, 1)
    elif need > TIGHT * free:
        yield Finding("warning", f"{what}: tight for an estimate", "", advice, 1)


def _free_memory(job: Job) -> tuple[int, str]:
    """Bytes, and where they are; of a device that is not here it is taken that this machine is not the one meant."""
    if job.device == "cuda":
        if torch.cuda.is_available():
            return torch.cuda.get_device_properties(0).total_memory, "on a graphics card here"
        return 2**63, "on a graphics card that is not here"
    if Path("/proc/meminfo").exists():
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024, "are free in this machine's memory"
    return 2**63, "in a memory of unknown size"


CHECKS: tuple[Callable[[Job], Findings], ...] = (batch, learning_rate, classes, folder)
"""The checks that need nothing but the job."""


def findings(job: Job, shares: list[Share], run: list[Share], cache: list[Share]) -> list[Finding]:
    """What all checks find.

    Args:
        job: the training.
        shares: `memory` of it.
        run: `run_disk` of it.
        cache: `cache_disk` of it.
    """
    found = [finding for check in CHECKS for finding in check(job)]
    return [*found, *fits_memory(job, shares), *fits_disk(job, run, cache)]
