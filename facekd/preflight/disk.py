"""The disk space a training needs, share by share."""

from __future__ import annotations

import math

import numpy as np
import torch

from facekd.preflight.job import Job
from facekd.preflight.memory import states
from facekd.preflight.peak_memory import trainable_bytes, weight_bytes
from facekd.preflight.resources import Share
from facekd.route.teacher import live_teacher
from facekd.training.lr_schedule import drops


def run_disk(job: Job) -> list[Share]:
    """What the run's own folder will hold: checkpoints, the route, the model; logs and results are small.

    A checkpoint holds the classes of all processes; one more than is kept lies there while it is written.
    """
    network, schedule, kept = job.meta_network, job.recipe.schedule, job.recipe.machine.checkpoints
    trained, weights = trainable_bytes(network), weight_bytes(network)
    if job.has_head and not job.recipe.head.closed:
        centres = 4 * job.classes * job.recipe.head.centres * network.spec.outputs
        trained, weights = trained + centres, weights + centres
    mean = weight_bytes(network) if schedule.ema else 0
    points = route_points(job)
    return [share for share in (
        Share(f"{kept + 1} checkpoints ({kept} are kept)", (kept + 1) * (weights + states(job) * trained + mean)),
        Share(f"route of {points} points", points * weight_bytes(network)),
        Share("model.safetensors", weight_bytes(network) + mean),
    ) if share.size]


def route_points(job: Job) -> int:
    """Points of the route that is recorded: every so many epochs, before every drop of the rate, and at the end."""
    every, steps = job.recipe.route.every, max(1, round(job.recipe.schedule.epochs * job.epoch_steps))
    if not every:
        return 0
    interval = max(1, round(every * job.epoch_steps))
    ends = {step for step in range(job.epoch_steps, steps + 1, job.epoch_steps) if step % interval == 0}
    first = 0
    for end in _stage_ends(job, steps):
        ends |= {first + drop for drop in drops(job.recipe.schedule, end - first) if drop > 0}
        first = end
    return len(ends | {steps})


def cache_disk(job: Job) -> list[Share]:
    """What the teacher cache beside the route will hold, where nothing of it is there yet: slots of every anchor."""
    recipe = job.recipe
    if job.walk is None or job.live_teacher:
        return []
    plan, route = job.walk
    dimension = (route.spec.outputs if route.spec else
                 live_teacher(route.point_file(plan.legs[0].points[0]), torch.device("cpu")).dimension)
    number = 4 if getattr(recipe, "cache", "") == "float32" else 2
    slots, begin = set(), 0.0
    ends = [end / job.epoch_steps for end in _stage_ends(job, round(recipe.schedule.epochs * job.epoch_steps))]
    anchors = [leg.points for leg in plan.legs] + [(-n,) for n in range(1, len(ends) - len(plan.legs) + 1)]
    for end, points in zip(ends, anchors, strict=True):
        for epoch in range(math.floor(begin), max(math.floor(begin) + 1, math.ceil(end))):
            shown = np.unique(job.data.augmentation.epoch(epoch, 1).slot).tolist()
            slots |= {(point, slot) for point in points for one in shown for slot in job.data.augmentation.beside(one)}
        begin = end
    size = len(job.data.images) * dimension * number
    return [Share(f"teacher cache: {len(slots)} times {len(job.data.images):,} outputs", len(slots) * size)]


def _stage_ends(job: Job, steps: int) -> list[int]:
    """The last step of every stage; what a greedy plan has still to choose counts as stages of its share."""
    if job.walk is None:
        return [steps]
    plan = job.walk[0]
    shares = [leg.share for leg in plan.legs]
    if plan.growth:
        shares += [plan.growth.share] * max(1, round((1 - sum(shares)) / plan.growth.share))
    ends = np.cumsum(shares) / sum(shares) * steps
    return [max(1, round(end)) for end in ends.tolist()]
