"""Estimate the disk space of a training run, item by item."""

from __future__ import annotations

import math

import numpy as np
import torch

from facekd.config import DistillRecipe
from facekd.preflight.job import Job
from facekd.preflight.memory import optimizer_states
from facekd.preflight.peak_memory import trainable_bytes, weight_bytes
from facekd.preflight.resources import ResourceUse, drop_empty
from facekd.route.recorder import route_interval
from facekd.route.teacher import load_live_teacher
from facekd.training.lr_schedule import drop_steps


def run_disk_use(job: Job) -> list[ResourceUse]:
    """Estimate the size of the run folder: checkpoints, route and model; logs and results are small.

    A checkpoint contains the class centers of all processes. While a checkpoint is written, there is one more than the
    recipe keeps.
    """
    network = job.meta_network
    trained = trainable_bytes(network)
    weights = weight_bytes(network)
    if job.has_head and not job.recipe.head.closed_set:
        centers = 4 * job.num_classes * job.recipe.head.sub_centers * network.spec.outputs
        trained += centers
        weights += centers
    ema = weight_bytes(network) if job.recipe.training.ema_decay else 0
    checkpoint = weights + optimizer_states(job) * trained + ema
    num_checkpoints = job.recipe.machine.keep_checkpoints + 1
    num_points = count_route_points(job)
    return drop_empty([
        ResourceUse(f"{num_checkpoints} checkpoints ({num_checkpoints - 1} are kept)", num_checkpoints * checkpoint),
        ResourceUse(f"route of {num_points} points", num_points * weight_bytes(network)),
        ResourceUse("model.safetensors", weight_bytes(network) + ema),
    ])


def count_route_points(job: Job) -> int:
    """Return the number of points in the route of the run.

    A point is recorded every ``route.every_epochs`` epochs, before every drop of the learning rate, and at the end.

    Raises:
        RouteError: ``route.every_epochs`` is less than one step.
    """
    training = job.recipe.training
    interval = route_interval(job.recipe.route.every_epochs, job.steps_per_epoch)
    if not interval:
        return 0
    total_steps = max(1, job.total_steps)
    event_every_steps = min(interval, job.steps_per_epoch)  # longer intervals end at the ends of epochs only
    events = range(event_every_steps, total_steps + 1, event_every_steps)
    points = {step for step in events if step % interval == 0}
    cycle_begin = 0
    for cycle_end in [total_steps] if training.cycle == "run" else _stage_ends(job, total_steps):
        points |= {cycle_begin + drop for drop in drop_steps(training, cycle_end - cycle_begin) if drop > 0}
        cycle_begin = cycle_end
    return len(points | {total_steps})


def cache_disk_use(job: Job) -> list[ResourceUse]:
    """Estimate the size of a new teacher cache: for each anchor the slots of the epochs in which it is used."""
    if job.teacher is None or not isinstance(job.recipe, DistillRecipe) or job.needs_live_teacher:
        return []
    plan, route = job.teacher
    if route.spec:
        dimension = route.spec.outputs
    else:
        first_point = route.point_file(plan.first_points(route)[0])
        dimension = load_live_teacher(first_point, torch.device("cpu")).dimension
    stage_ends = _stage_ends(job, job.total_steps)
    # A greedy plan has not chosen its later stages yet; negative numbers stand in for their anchors.
    anchors = [stage.points for stage in plan.stages]
    anchors += [(-number,) for number in range(1, len(stage_ends) - len(plan.stages) + 1)]
    slots: set[tuple[int, int]] = set()
    stage_begin = 0
    for stage_end, points in zip(stage_ends, anchors, strict=True):
        for slot in _slots_of_steps(job, stage_begin, stage_end):
            slots |= {(point, slot) for point in points}
        stage_begin = stage_end
    num_images = len(job.data.images)
    value_bytes = 4 if job.recipe.teacher_cache == "float32" else 2
    size = len(slots) * num_images * dimension * value_bytes
    return [ResourceUse(f"teacher cache: {len(slots)} times {num_images:,} outputs", size)]


def _slots_of_steps(job: Job, begin: int, end: int) -> set[int]:
    """Return the cache slots that are opened in the steps ``begin`` to ``end``."""
    augmentation = job.data.augmentation
    first_epoch = begin // job.steps_per_epoch
    last_epoch = max(first_epoch, math.ceil(end / job.steps_per_epoch) - 1)
    slots: set[int] = set()
    for epoch in range(first_epoch, last_epoch + 1):
        for slot in np.unique(augmentation.epoch_params(epoch, 1).cache_slot).tolist():
            slots |= set(augmentation.sibling_slots(slot))
    return slots


def _stage_ends(job: Job, total_steps: int) -> list[int]:
    """Return the last step of every stage; the unchosen rest of a greedy plan counts as stages of its share."""
    if job.teacher is None:
        return [total_steps]
    plan = job.teacher.plan
    shares = [stage.share for stage in plan.stages]
    if plan.growth:
        shares += [plan.growth.share] * max(1, round((1 - sum(shares)) / plan.growth.share))
    ends = np.cumsum(shares) / sum(shares) * total_steps
    return [max(1, round(end)) for end in ends.tolist()]
