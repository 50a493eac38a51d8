"""The whole job, examined before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facekd.data.diagnosis.diagnose import Diagnosis, examine, ranked
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.models.loading import load
from facekd.preflight.checks import findings
from facekd.preflight.disk import cache_disk, run_disk
from facekd.preflight.job import open_job
from facekd.preflight.memory import memory
from facekd.preflight.resources import Share, spoken, total
from facekd.preflight.review import Review, look
from facekd.training.machine import find_device


@dataclass(frozen=True)
class Preflight(Diagnosis):
    """The doctor's answer about a job.

    Attributes:
        job: the job in a line.
        memory: of one process.
        disk: of the run and the teacher cache.
        review: lists to look through; None without a model.
    """

    job: str
    memory: list[Share]
    disk: list[Share]
    review: Review | None

    def describe(self) -> str:
        """The job, what it needs, and the diagnosis."""
        return "\n".join([self.job, *_table("memory of a process", self.memory), *_table("disk", self.disk),
                          super().describe()])

    def to_dict(self) -> dict[str, Any]:
        """In JSON's types; sizes in bytes."""
        content = {"ok": self.ok, **asdict(self)}
        if self.review:
            del content["review"]["findings"]  # they stand among the others
        return content


def preflight(recipe: Path, overrides: Sequence[str] = (), tests: Sequence[Path] = (), ranks: int = 1,
              model: Path | None = None) -> Preflight:
    """Examine a recipe of teach or distill, what it will need, and its data.

    Args:
        recipe: a YAML recipe.
        overrides: ``key=value``.
        tests: face sets the result will be tested on.
        ranks: processes that will train together.
        model: a model to look at the faces with, which takes as long as embedding all of them.

    Raises:
        RecipeError: mistakes in the recipe.
        DataError: a set cannot be opened, or the arguments do not fit a set of classes.
        RouteError: the plan or the route is damaged.
        ModelError: the network, the head or the model cannot be made.
    """
    if ranks < 1:
        raise DataError(f"{ranks} processes cannot train anything; give 1 or more")
    job = open_job(recipe, overrides, ranks)
    closed, schedule = job.recipe.head.closed, job.recipe.schedule
    if closed and (tests or model):
        raise DataError("test sets and models are for faces, and this recipe trains a classifier; leave them out")
    shares, run, cache = memory(job), run_disk(job), cache_disk(job)
    found, sets = findings(job, shares, run, cache), []
    review: Review | None = None
    if not closed:
        faces = [open_faces(job.recipe.faces), *map(open_faces, tests)]
        diagnosis = examine(faces, job.wanted.size)
        sets, found = diagnosis.sets, [*found, *diagnosis.findings]
        if model:
            where = find_device("auto")
            review = look(load(model, where), faces[0], faces[1:], where)
            found += review.findings
    images = len(job.data.images)
    title = (f"{job.recipe.out}: {job.meta_network.spec.name}, {images:,} images of {job.classes:,} classes, "
             f"{schedule.epochs:g} epochs of {job.epoch_steps:,} steps of {job.step_images:,} images, "
             f"{ranks} process{'es' if ranks > 1 else ''} on {job.device}")
    return Preflight(sets, ranked(found), title, shares, [*run, *cache], review)


def _table(title: str, shares: Sequence[Share]) -> list[str]:
    return [f"{title}: {spoken(total(shares))} (estimated)", *(f"  {spoken(s.size):>10}  {s.what}" for s in shares)]
