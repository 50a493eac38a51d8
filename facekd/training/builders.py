"""The parts of a training that recipes of every verb describe alike."""

from __future__ import annotations

from pathlib import Path

from facekd.config import DistillRecipe, HeadRecipe, ModelRecipe, TeachRecipe
from facekd.data.loading.loader import Loader
from facekd.data.loading.unreadable import BadRecords
from facekd.data.training_set import TrainingSet
from facekd.distributed import place
from facekd.errors import SetupError
from facekd.models.registry import Network, create
from facekd.training.machine import Machine


def network(wanted: ModelRecipe, head: HeadRecipe, classes: int) -> Network:
    """The network to train, with fresh weights: one output a class under a softmax head, else an embedding.

    Raises:
        ModelError: an unknown name or option, or a value that cannot be used.
    """
    return create(wanted.name, size=wanted.size, outputs=classes if head.closed else wanted.embedding,
                  pixels=wanted.pixels, **wanted.options)


def training_loader(data: TrainingSet, size: int, recipe: TeachRecipe | DistillRecipe) -> Loader:
    """The batches of a training, one an optimiser step, seen at the network's ``size``; this process's part of them.

    Raises:
        DataError: the set is smaller than a batch.
        SetupError: the device is absent, or a batch cannot be shared out equally.
    """
    device = Machine(recipe.machine).device
    batch, world = recipe.schedule.batch, place()[1]
    if batch % world:
        raise SetupError(f"a batch of {batch} images cannot be shared out equally among {world} processes; "
                         f"set schedule.batch to a multiple of {world}")
    limit = recipe.data.bad_records
    bad = BadRecords(Path(recipe.out) / "bad_records.txt", limit) if limit else None
    return Loader(data.images, size, batch * recipe.schedule.accumulate, recipe.seed, data.augmentation,
                  recipe.machine.memory, device, place(), recipe.data.images_each, bad)
