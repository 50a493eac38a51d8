"""The parts of a training that recipes of every verb describe alike."""

from __future__ import annotations

from facekd.config import DistillRecipe, HeadRecipe, ModelRecipe, TeachRecipe
from facekd.data.loader import Loader
from facekd.data.training_set import TrainingSet
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
    """The batches of a training, one an optimiser step, seen at the network's ``size``.

    Raises:
        SetupError: the device is absent.
    """
    device = Machine(recipe.machine).device
    batch = recipe.schedule.batch * recipe.schedule.accumulate
    return Loader(data.images, size, batch, recipe.seed, data.augmentation, recipe.machine.memory, device)
