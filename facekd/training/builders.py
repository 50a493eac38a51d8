"""Builders of the objects that all training commands have in common, from their recipes."""

from __future__ import annotations

from pathlib import Path

import torch

from facekd.config import DistillRecipe, HeadRecipe, ModelRecipe, TrainRecipe
from facekd.data.loading.loader import Loader
from facekd.data.loading.unreadable import UnreadableImages
from facekd.data.training_set import TrainingSet
from facekd.distributed import get_rank, get_world_size
from facekd.errors import DataError, SetupError
from facekd.heads import create_head
from facekd.heads.base import Head
from facekd.models.registry import Network, create
from facekd.training.machine import Machine


def build_network(model: ModelRecipe, head: HeadRecipe, classes: int) -> Network:
    """Build the network to train, with fresh weights.

    Its output is the logits of all classes under a softmax head, and an embedding under a margin head.

    Args:
        model: the name, size and options of the network.
        head: the head it is trained under.
        classes: number of classes in the training set.

    Raises:
        ModelError: an unknown name or option, or a value that cannot be used.
    """
    outputs = classes if head.closed_set else model.embedding
    return create(model.name, size=model.size, outputs=outputs, normalization=model.normalization, **model.options)


def build_head(recipe: HeadRecipe, outputs: int, classes: int) -> Head:
    """Build a head with fresh class centers; in a distributed run each rank has a shard of them.

    Args:
        recipe: the head; negatives are sampled by torch's seed.
        outputs: length of the network's output.
        classes: number of classes in the training set.

    Raises:
        DataError: the training set has one class.
        ModelError: an unknown name, or a value that cannot be used.
        OptionError: an unknown option.
    """
    if classes < 2:
        raise DataError("the training set holds one class, from whose labels nothing can be learned; add more, or use "
                        "'facekd distill' with a method without labels")
    return create_head(outputs=outputs, classes=classes, world_size=get_world_size(), seed=torch.initial_seed(),
                       **dict(recipe))


def build_loader(data: TrainingSet, size: int, recipe: TrainRecipe | DistillRecipe, machine: Machine) -> Loader:
    """Build the loader of this rank's part of every batch; one batch is one optimizer step.

    Args:
        data: the training set.
        size: side of the network's input in pixels.
        recipe: the recipe of the run.
        machine: the device on which decoded images are stored.

    Raises:
        DataError: the set is smaller than a batch.
        SetupError: a batch cannot be divided equally among the processes.
    """
    batch_size = recipe.training.batch_size
    world_size = get_world_size()
    if batch_size % world_size:
        raise SetupError(f"a batch of {batch_size} images cannot be shared out equally among {world_size} processes; "
                         f"set training.batch_size to a multiple of {world_size}")
    limit = recipe.data.max_unreadable_images
    return Loader(
        data.images,
        size,
        batch_size=batch_size * recipe.training.gradient_accumulation_steps,
        seed=recipe.seed,
        augmentation=data.augmentation,
        decoded_cache_gib=recipe.machine.decoded_cache_gib,
        device=machine.device,
        rank=get_rank(),
        world_size=world_size,
        samples_per_class=recipe.data.samples_per_class,
        unreadable=UnreadableImages(Path(recipe.out) / "unreadable_images.txt", limit) if limit else None,
    )
