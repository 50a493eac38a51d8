"""Estimate the peak memory of one process of a training run, item by item."""

from __future__ import annotations

from functools import partial

import torch

from facekd.distributed import shard_range
from facekd.models.registry import Network, build
from facekd.preflight.job import Job
from facekd.preflight.peak_memory import head_peak, network_peak, trainable_bytes, weight_bytes
from facekd.preflight.resources import ResourceUse, drop_empty
from facekd.route.teacher import load_live_teacher

LIBRARIES = 400 * 2**20
"""Bytes at the peak that are not tensors: workspaces of libraries, and memory that the allocator retains. On a CPU 390
to 520 MiB were measured for steps of 1.1 to 3.0 GiB; the CUDA context takes about as much."""


def memory_use(job: Job) -> list[ResourceUse]:
    """Estimate the memory of one process at the peak of a step; items of 0 bytes are left out.

    Activations and logits are measured: the forward and backward pass of the actual network and head run on tensors
    without content. Gradients are added to all activations although most of them are allocated while activations are
    freed, so the sum can be too large by that much.

    The estimate leaves out losses that compare images with each other, feature maps that a loss reads, the savings of
    ``machine.compile``, and the smaller softmax of a head whose classes are sharded over processes.
    """
    return drop_empty([*_network(job), *_head(job), *_teacher(job), *_decoded_images(job),
                       ResourceUse("libraries", LIBRARIES)])


def optimizer_states(job: Job) -> int:
    """Return the number of values that the optimizer stores per weight."""
    return 2 if job.recipe.training.optimizer == "adamw" else int(job.recipe.training.momentum > 0)


def _network(job: Job) -> list[ResourceUse]:
    training = job.recipe.training
    network = job.meta_network
    name = network.spec.name
    batch_size = job.images_per_process
    dtype = str(job.dtype).removeprefix("torch.")
    gradients = trainable_bytes(network)
    gradients_item = ResourceUse(f"{name}: gradients", gradients)
    if job.world_size > 1:
        gradients_item = ResourceUse(f"{name}: gradients, twice (DistributedDataParallel)", 2 * gradients)
    activations = network_peak(job.build_network, batch_size, job.dtype, job.recipe.machine.activation_checkpointing)
    return [
        ResourceUse(f"{name}: weights", weight_bytes(network)),
        gradients_item,
        ResourceUse(f"{name}: state of {training.optimizer}", optimizer_states(job) * gradients),
        ResourceUse(f"{name}: EMA of its weights", weight_bytes(network) if training.ema_decay else 0),
        ResourceUse(f"{name}: activations of {batch_size} images, {dtype}", activations),
    ]


def _head(job: Job) -> list[ResourceUse]:
    """Return the items of the head: each process has a shard of the classes, and the embeddings of the whole batch."""
    if job.recipe.head.closed_set or not job.has_head:
        return []
    training = job.recipe.training
    sample_rate = job.recipe.head.sample_rate
    local_classes = len(shard_range(job.num_classes, job.world_size - 1, job.world_size))  # of the largest shard
    step_classes = local_classes
    if sample_rate < 1:  # the sampled negatives, and the classes of the batch
        positives = min(training.batch_size, local_classes)
        step_classes = min(local_classes, round(sample_rate * local_classes) + positives)
    outputs = job.meta_network.spec.outputs
    centers = 4 * local_classes * job.recipe.head.sub_centers * outputs
    sampled_centers = centers * step_classes // local_classes if sample_rate < 1 else 0
    logits = head_peak(partial(job.build_head, step_classes), training.batch_size, outputs)
    return [
        ResourceUse(f"head: centers of {local_classes:,} classes", centers),
        ResourceUse("head: gradients", centers),
        ResourceUse(f"head: state of {training.optimizer}", optimizer_states(job) * centers),
        ResourceUse(f"head: {training.batch_size:,} embeddings against {step_classes:,} classes",
                    sampled_centers + logits),
    ]


def _teacher(job: Job) -> list[ResourceUse]:
    """Return the weights and the forward pass of a live teacher; cached outputs are memory-mapped and cost nothing."""
    if job.teacher is None or not job.needs_live_teacher:
        return []
    plan, route = job.teacher
    spec = route.spec
    if spec is None:
        file = route.point_file(plan.first_points(route)[0])
        load_live_teacher(file, torch.device("cpu"))  # raises if the file is damaged
        return [ResourceUse("teacher: an ONNX file's weights", file.stat().st_size)]

    def build_teacher() -> Network:
        """Build the teacher's network on the current default device."""
        return build(spec)

    with torch.device("meta"):
        weights = weight_bytes(build_teacher())
    activations = network_peak(build_teacher, job.images_per_process, job.dtype, trained=False)
    return [ResourceUse(f"teacher {spec.name}: weights", weights), ResourceUse("teacher: activations", activations)]


def _decoded_images(job: Job) -> list[ResourceUse]:
    """Return the decoded images if all of them fit into ``machine.decoded_cache_gib``, see `Loader`."""
    size = len(job.data.images) * job.model_recipe.size**2 * 3
    is_cached = job.data.augmentation.is_cacheable and size <= job.recipe.machine.decoded_cache_gib * 2**30
    return [ResourceUse("decoded crops", size if is_cached else 0)]
