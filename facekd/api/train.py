"""``facekd teach``: a training set in, a trained network and its route out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from facekd.config import TeachRecipe
from facekd.config.loading import load_recipe
from facekd.data.training_set import open_training
from facekd.distributed import told
from facekd.methods.supervised import Labels
from facekd.models.complexity import parameters
from facekd.route.recorder import Recorder
from facekd.run import Run
from facekd.training.builders import network, training_loader
from facekd.training.ema import save_student
from facekd.training.method import Stage
from facekd.training.trainer import Trainer


def teach(faces: Path | str | None = None, out: Path | str | None = None, *overrides: str,
          recipe: Path | str | None = None) -> Path:
    """Train a network on labels, under a margin head or as a classifier, and record the route its weights travel.

    The same call continues a run that was killed; on a CPU it ends with the very same weights. Processes that torchrun
    started do this together, each on its part of every batch and with its shard of the class centres.

    Args:
        faces: the training set: of faces, or with ``head.name=softmax`` of classes (recipe key ``faces``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` of `facekd.config.TeachRecipe`, e.g. ``"model.name=iresnet18"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``model.safetensors`` and ``route/``; with ``model.ema.safetensors`` where ``schedule.ema``
        asks for it, see `facekd.training.ema`.

    Raises:
        RecipeError: mistakes in the recipe.
        DataError: the training set cannot be used.
        SetupError: the folder holds another run, the disk is full, the device is absent.
    """
    given = {"faces": faces, "out": out}
    resolved = load_recipe(TeachRecipe, Path(recipe) if recipe else None, overrides, given)
    run = Run(Path(resolved.out))
    data = open_training(resolved.faces, resolved.data, resolved.head.closed)
    torch.manual_seed(resolved.seed)
    classes, schedule = data.images.classes, resolved.schedule
    model = network(resolved.model, resolved.head, classes)
    fingerprint = asdict(told(data.images.fingerprint))
    facts = {"faces": fingerprint, "model": model.spec.to_dict(), "parameters": parameters(model)}
    if run.begin("teach", resolved, facts) and run.finished:
        return run.path
    method = Labels(model, resolved.head, classes)
    loader = training_loader(data, resolved.model.size, resolved)
    recorder = Recorder(run, model, resolved.route.every, loader.steps)
    trainer = Trainer(run, method, lambda stage: Stage(schedule.epochs), loader, schedule, resolved.machine, recorder)
    trainer.fit()
    save_student(run, model, trainer.average)
    run.finish()
    return run.path
