"""Checks for mistakes in a planned training run; each yields findings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from facekd.config.loading import recipe_differences
from facekd.data.diagnosis.finding import Finding
from facekd.errors import FacekdError
from facekd.preflight.job import Job
from facekd.preflight.resources import ResourceUse, format_bytes, total_bytes
from facekd.run import Run

Findings = Iterator[Finding]

SGD_LEARNING_RATE = 0.1
SGD_STEP_IMAGES = 512
"""SGD's learning rate for a step of this many images, as in arcface_torch's configurations ("lr = 0.1  # batch size is
512"; newer ones have 0.1 to 0.2 for 1,024 and 0.4 for 4,096). It is scaled with the images of a step (Goyal et al.,
arXiv 1706.02677)."""

ADAMW_LEARNING_RATE = 1e-3
"""AdamW's learning rate in the same configurations, for any batch size."""

RATE_TOLERANCE = 4.0
"""Factor by which a learning rate may differ from these without a warning."""

TIGHT_SHARE = 0.8
"""Share of the free memory or disk above which an estimate gives a warning."""


def check_batch_size(job: Job) -> Findings:
    """Find batches that cannot be divided among the processes, or that are larger than the set."""
    batch_size = job.recipe.training.batch_size
    num_images = len(job.data.images)
    if batch_size % job.world_size:
        yield Finding("error", f"a batch of {batch_size} images cannot be shared out equally among {job.world_size} "
                      "processes", "", f"set training.batch_size to a multiple of {job.world_size}", 1)
    if job.images_per_step > num_images:
        yield Finding("error", f"{job.data.images.path} holds {num_images:,} images, fewer than one step of "
                      f"{job.images_per_step:,}", "",
                      "set training.batch_size or training.gradient_accumulation_steps lower", 1)


def check_learning_rate(job: Job) -> Findings:
    """Find a learning rate that differs much from published face recipes with as many images per step."""
    training = job.recipe.training
    is_sgd = training.optimizer == "sgd"
    if job.recipe.head.closed_set and is_sgd:
        return  # classifiers of small images have other conventions
    if is_sgd:
        expected = SGD_LEARNING_RATE * job.images_per_step / SGD_STEP_IMAGES
        rule = f"{SGD_LEARNING_RATE:g} for {SGD_STEP_IMAGES} images a step, in proportion"
    else:
        expected = ADAMW_LEARNING_RATE
        rule = f"{ADAMW_LEARNING_RATE:g} with AdamW"
    if expected / RATE_TOLERANCE <= training.learning_rate <= expected * RATE_TOLERANCE:
        return
    message = (f"training.learning_rate={training.learning_rate:g} is {training.learning_rate / expected:.2g} times "
               f"what arcface_torch trains faces with at {job.images_per_step:,} images a step ({rule})")
    yield Finding("warning", message, "",
                  f"start from training.learning_rate={expected:.2g}, or try yours for an epoch", 1)


def check_classes(job: Job) -> Findings:
    """Find a classifier teacher of other classes, no labels, a single class, and fewer classes than processes."""
    closed_set = job.recipe.head.closed_set
    if job.teacher and closed_set:
        route = job.teacher.route
        if route.spec and route.spec.outputs != job.num_classes:
            yield Finding("error", f"the teacher knows {route.spec.outputs:,} classes and {job.data.images.path} has "
                          f"{job.num_classes:,}", str(route.folder), "train both on the same classes", 1)
    if job.terms_on_labels and not job.data.images.is_labeled:
        yield Finding("error", f"{job.data.images.path} has no labels, and the objective needs them "
                      f"({', '.join(job.terms_on_labels)})", job.data.images.unlabeled_reason,
                      "distill by a method without labels, or sort the images into people by 'facekd group'", 1)
    elif job.has_head and job.num_classes < 2:
        yield Finding("error", f"{job.data.images.path} holds one class, from whose labels nothing can be learned", "",
                      "add more, or use 'facekd distill' with a method without labels", 1)
    elif job.has_head and job.num_classes < job.world_size and not closed_set:
        yield Finding("error", f"{job.num_classes} classes cannot be shared out among {job.world_size} processes", "",
                      "use fewer processes", 1)


def check_run_folder(job: Job) -> Findings:
    """Find a run folder that contains a different run, which training would refuse to continue."""
    run = Run(Path(job.recipe.out))
    if not (run.path / "run.json").exists():
        return
    run_classes = job.num_classes
    try:
        differences = recipe_differences(run.path / "recipe.yaml", job.recipe)
        run_classes = (run.info().get("dataset") or {}).get("classes", job.num_classes)
    except FacekdError as error:
        differences = str(error)
    if run_classes != job.num_classes:
        differences = f"it was begun with {run_classes:,} classes, and the data have {job.num_classes:,}"
    if differences:
        yield Finding("error", f"{run.path} holds a run of another recipe or other data", differences,
                      "set out to another folder, or delete that one", 1)


def check_memory(job: Job, uses: list[ResourceUse]) -> Findings:
    """Compare the memory of all processes on this machine with the available memory.

    Args:
        job: the run.
        uses: the memory of one process; a GPU belongs to one process, a CPU's memory to all.
    """
    available = available_memory(job.device)
    if available is None:
        return
    processes = 1 if job.device == "cuda" else job.world_size
    where = "on a graphics card here" if job.device == "cuda" else "are free in this machine's memory"
    yield from _check_fit(
        total_bytes(uses) * processes, available, where,
        "lower training.batch_size (with training.gradient_accumulation_steps), set "
        "machine.activation_checkpointing=true or a 16-bit machine.precision, or use more processes: they share the "
        "classes")


def check_disk(job: Job, run_uses: list[ResourceUse], cache_uses: list[ResourceUse]) -> Findings:
    """Compare the size of the run and of the teacher cache with the free space of their disks.

    Args:
        job: the run.
        run_uses: the items in the run folder.
        cache_uses: the items in the folder of the teacher's route.
    """
    uses_by_folder = [(Path(job.recipe.out), run_uses)]
    if job.teacher:
        uses_by_folder.append((job.teacher.route.folder, cache_uses))
    needed: dict[int, int] = {}  # by device number: both folders can be on one disk
    folders: dict[int, Path] = {}
    for folder, uses in uses_by_folder:
        existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
        device = os.stat(existing).st_dev
        needed[device] = needed.get(device, 0) + total_bytes(uses)
        folders[device] = existing
    for device, size in needed.items():
        yield from _check_fit(
            size, shutil.disk_usage(folders[device]).free, f"are free on the disk of {folders[device]}",
            "free some space, set route.every_epochs higher or machine.keep_checkpoints=1, or name another folder")


def _check_fit(needed: int, free: int, where: str, advice: str) -> Findings:
    message = f"{format_bytes(needed)} are needed and {format_bytes(free)} {where}"
    if needed > free:
        yield Finding("error", message, "", advice, 1)
    elif needed > TIGHT_SHARE * free:
        yield Finding("warning", f"{message}: tight for an estimate", "", advice, 1)


def available_memory(device: str) -> int | None:
    """Return the memory for a training run on this machine, in bytes.

    Args:
        device: the device type.

    Returns:
        the memory of the first GPU, or the free memory of the machine; None if there is no GPU, because the run is then
        planned for another machine, and None if the free memory is unknown.
    """
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else None
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


CHECKS: tuple[Callable[[Job], Findings], ...] = (
    check_batch_size, check_learning_rate, check_classes, check_run_folder,
)
"""The checks that need no estimate."""


def run_checks(job: Job, memory: list[ResourceUse], run_uses: list[ResourceUse], cache_uses: list[ResourceUse]
               ) -> list[Finding]:
    """Run all checks.

    Args:
        job: the run.
        memory: see `facekd.preflight.memory.memory_use`.
        run_uses: see `facekd.preflight.disk.run_disk_use`.
        cache_uses: see `facekd.preflight.disk.cache_disk_use`.
    """
    findings = [finding for check in CHECKS for finding in check(job)]
    return [*findings, *check_memory(job, memory), *check_disk(job, run_uses, cache_uses)]
