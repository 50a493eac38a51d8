"""Examine a planned training run: estimates, checks, the diagnosis of its data, and a model's review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from facekd.data.diagnosis.diagnose import Diagnosis, diagnose, sort_by_severity
from facekd.data.opening import open_faces
from facekd.data.unlabeled import require_labels
from facekd.errors import DataError
from facekd.models.input_format import InputOptions
from facekd.models.loading import load
from facekd.preflight.checks import run_checks
from facekd.preflight.disk import cache_disk_use, run_disk_use
from facekd.preflight.job import Job, open_job
from facekd.preflight.memory import memory_use
from facekd.preflight.resources import ResourceUse, format_bytes, total_bytes
from facekd.preflight.review import Review, review_with_model
from facekd.utils.device import resolve_device


@dataclass(frozen=True)
class Preflight(Diagnosis):
    """The result of `preflight`: a diagnosis with the needs of the planned run.

    Attributes:
        summary: the run in one line.
        memory: the memory of one process.
        disk: the disk space of the run and of the teacher cache.
        review: the lists of a model to look through; None without a model.
    """

    summary: str
    memory: list[ResourceUse]
    disk: list[ResourceUse]
    review: Review | None

    def describe(self) -> str:
        """Return the run, its needs and the diagnosis as text."""
        return "\n".join([self.summary, *_table("memory of a process", self.memory), *_table("disk", self.disk),
                          super().describe()])

    def to_dict(self) -> dict[str, Any]:
        """Return the result in JSON types; sizes in bytes."""
        content = {"ok": self.ok, **asdict(self)}
        if self.review:
            del content["review"]["findings"]  # ``findings`` contains them already
        return content


def preflight(recipe: Path, overrides: Sequence[str] = (), test_sets: Sequence[Path] = (), world_size: int = 1,
              model: Path | None = None, **options: Unpack[InputOptions]) -> Preflight:
    """Examine a recipe of train or distill, its needs, and its data.

    Args:
        recipe: a YAML recipe.
        overrides: ``key=value`` strings that override the recipe.
        test_sets: face sets on which the trained network will be tested.
        world_size: the number of processes of the run.
        model: a model that searches the faces, see `review_with_model`; this takes as long as embedding all of them.
        options: how an ``.onnx`` model is fed, see `facekd.models.input_format.InputOptions`.

    Raises:
        RecipeError: the recipe has mistakes.
        DataError: a set cannot be opened, or test sets or a model are given for a class set.
        RouteError: the plan or the route is damaged, or ``route.every_epochs`` is less than one step.
        ModelError: the network, the head or the model is impossible.
    """
    if world_size < 1:
        raise DataError(f"{world_size} processes cannot train anything; give 1 or more")
    job = open_job(recipe, overrides, world_size)
    closed_set = job.recipe.head.closed_set
    if closed_set and (test_sets or model):
        raise DataError("test sets and models are for faces, and this recipe trains a classifier; leave them out")
    memory = memory_use(job)
    run_uses = run_disk_use(job)
    cache_uses = cache_disk_use(job)
    findings = run_checks(job, memory, run_uses, cache_uses)
    summaries = []
    review = None
    if not closed_set:
        data = job.recipe.data
        face_sets = [open_faces(job.recipe.dataset, labels=data.labels, root=data.root or None),
                     *map(open_faces, test_sets)]
        if model:
            for faces in face_sets:
                require_labels(faces, "--model, which compares people,", "leave --model out")
        diagnosis = diagnose(face_sets, job.model_recipe.size)
        summaries = diagnosis.sets
        findings += diagnosis.findings
        if model:
            review = review_with_model(load(model, "auto", **options), face_sets[0], face_sets[1:],
                                       resolve_device("auto"))
            findings += review.findings
    return Preflight(
        sets=summaries,
        findings=sort_by_severity(findings),
        summary=_summarize(job),
        memory=memory,
        disk=[*run_uses, *cache_uses],
        review=review,
    )


def _summarize(job: Job) -> str:
    """Return the run in one line."""
    processes = f"{job.world_size} process" + ("es" if job.world_size > 1 else "")
    images = job.data.images
    labels = f"of {images.num_classes:,} classes" if images.is_labeled else "without labels"
    return (f"{job.recipe.out}: {job.meta_network.spec.name}, {len(images):,} images {labels}, "
            f"{job.recipe.training.epochs:g} epochs of {job.steps_per_epoch:,} steps of "
            f"{job.images_per_step:,} images, {processes} on {job.device}")


def _table(title: str, uses: Sequence[ResourceUse]) -> list[str]:
    return [f"{title}: {format_bytes(total_bytes(uses))} (estimated)",
            *(f"  {format_bytes(use.size):>10}  {use.name}" for use in uses)]
