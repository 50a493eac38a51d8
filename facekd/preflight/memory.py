"""The memory one process of a training needs at its peak, share by share."""

from __future__ import annotations

from functools import partial

import torch

from facekd.distributed import part
from facekd.models.registry import Network, build
from facekd.preflight.job import Job
from facekd.preflight.peak_memory import head_peak, network_peak, trainable_bytes, weight_bytes
from facekd.preflight.resources import Share
from facekd.route.teacher import live_teacher

LIBRARIES = 400 * 2**20
"""Bytes at the peak that are no tensors: workspaces of libraries and what the allocator holds back. On a CPU 390 to
520 MiB were measured in steps of 1.1 to 3.0 GiB; CUDA's context takes about as much."""


def memory(job: Job) -> list[Share]:
    """What one process holds at the peak of a step; shares of nothing are left out.

    Activations and logits are those of a forward and backward pass of the very network and head, on tensors without
    content. Gradients count in full beside all activations, although most come while activations go; so the sum may be
    too large by as much. Not counted: losses that compare images with each other, the maps that a loss looks at, what
    ``machine.compile`` saves, and, where classes lie in shards, that their softmax keeps less than that of one process.
    """
    shares = [*_network(job), *_head(job), *_teacher(job), *_crops(job), Share("libraries", LIBRARIES)]
    return [share for share in shares if share.size]


def states(job: Job) -> int:
    """Numbers that the optimiser keeps for each weight."""
    return 2 if job.recipe.schedule.optimizer == "adamw" else int(job.recipe.schedule.momentum > 0)


def _network(job: Job) -> list[Share]:
    schedule, network, batch = job.recipe.schedule, job.meta_network, job.process_images
    name, trained, copies = network.spec.name, trainable_bytes(network), 2 if job.ranks > 1 else 1
    activations = network_peak(job.make_network, batch, job.dtype, job.recipe.machine.checkpointing)
    return [
        Share(f"{name}: weights", weight_bytes(network)),
        Share(f"{name}: gradients" + (", twice (DistributedDataParallel)" if copies == 2 else ""), copies * trained),
        Share(f"{name}: state of {schedule.optimizer}", states(job) * trained),
        Share(f"{name}: mean of its weights", weight_bytes(network) if schedule.ema else 0),
        Share(f"{name}: activations of {batch} images, {str(job.dtype).removeprefix('torch.')}", activations),
    ]


def _head(job: Job) -> list[Share]:
    """A process has an equal part of the classes, and meets the whole batch with them."""
    if job.recipe.head.closed or not job.has_head:
        return []
    schedule, rate = job.recipe.schedule, job.recipe.head.rate
    held = len(part(job.classes, job.ranks - 1, job.ranks))
    met = min(held, round(rate * held) + min(schedule.batch, held)) if rate < 1 else held
    centres = 4 * held * job.recipe.head.centres * job.meta_network.spec.outputs
    drawn = centres * met // held if rate < 1 else 0
    logits = head_peak(partial(job.make_head, met), schedule.batch, job.meta_network.spec.outputs)
    return [
        Share(f"head: centres of {held:,} classes", centres),
        Share("head: gradients", centres),
        Share(f"head: state of {schedule.optimizer}", states(job) * centres),
        Share(f"head: {schedule.batch:,} embeddings against {met:,} classes", drawn + logits),
    ]


def _teacher(job: Job) -> list[Share]:
    """A live teacher's weights and the widest moment of its forward pass; a cached one is read from the disk."""
    if job.walk is None or not job.live_teacher:
        return []
    plan, route = job.walk
    if route.spec is None:
        file = route.point_file(plan.legs[0].points[0])
        live_teacher(file, torch.device("cpu"))  # refuses what is damaged
        return [Share("teacher: an ONNX file's weights", file.stat().st_size)]
    with torch.device("meta"):
        weights = weight_bytes(build(route.spec))

    def make() -> Network:
        assert route.spec is not None
        return build(route.spec)

    return [Share(f"teacher {route.spec.name}: weights", weights),
            Share("teacher: activations", network_peak(make, job.process_images, job.dtype, trained=False))]


def _crops(job: Job) -> list[Share]:
    """The decoded images, where all of them fit into ``machine.memory``."""
    decoded = len(job.data.images) * job.wanted.size**2 * 3
    fits = job.data.augmentation.fixed and decoded <= job.recipe.machine.memory * 2**30
    return [Share("decoded crops", decoded if fits else 0)]
