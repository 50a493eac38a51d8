"""``facekd train``: supervised training of a network, with its route."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from facekd.config import TrainRecipe
from facekd.data.training_set import open_training_set
from facekd.data.unlabeled import require_labels
from facekd.distributed import init_distributed, is_main_process, run_on_main_and_broadcast
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.methods.recipe_check import load_training_recipe
from facekd.methods.supervised import Supervised
from facekd.models.complexity import count_parameters
from facekd.route.recorder import RouteRecorder, check_recorded_route
from facekd.run import Run
from facekd.training.builders import build_loader, build_network
from facekd.training.ema import save_student
from facekd.training.lr_schedule import check_schedule
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.trainer import Trainer


def train(dataset: Path | str | None = None, out: Path | str | None = None, *overrides: str,
          recipe: Path | str | None = None) -> Path:
    """Train a network on labels, with a margin head or as a classifier, and record the route of its weights.

    The same call continues a run that was killed; on a CPU the final weights are bit-identical. The files of a finished
    run are compared with their checksums, and a damaged model is made again from the last checkpoint. Processes that
    torchrun started train together: each takes its part of every batch and its shard of the class centers.

    Args:
        dataset: the training set: faces, or classes for ``head.name=softmax`` (recipe key ``dataset``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` strings for `facekd.config.TrainRecipe`, e.g. ``"model.name=iresnet18"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``model.safetensors`` and ``route/``; with ``model.ema.safetensors`` if
        ``training.ema_decay`` is set, see `facekd.training.ema`.

    Raises:
        RecipeError: the recipe has mistakes.
        DataError: the training set cannot be used, or a damaged file of the finished run cannot be made again.
        RouteError: ``route.every_epochs`` is less than one step, or a recorded point is damaged.
        SetupError: the folder contains another run, cannot be written or is being written by another process, the disk
            is full, or the device does not exist.
    """
    init_distributed()
    paths = {"dataset": dataset, "out": out}
    resolved = load_training_recipe(TrainRecipe, Path(recipe) if recipe else None, overrides, paths)
    if is_main_process():
        check_writable(resolved.out, folder=True)
    with lock_output(resolved.out):
        return _train(resolved)


def _train(resolved: TrainRecipe) -> Path:
    training = resolved.training
    run = Run(Path(resolved.out))
    data = open_training_set(resolved.dataset, resolved.data, resolved.head.closed_set)
    require_labels(data.images, "'facekd train'", "use 'facekd distill' by a method without labels")
    classes = data.images.num_classes
    torch.manual_seed(resolved.seed)
    network = build_network(resolved.model, resolved.head, classes)
    fingerprint = asdict(run_on_main_and_broadcast(data.images.fingerprint))
    facts = {"dataset": fingerprint, "model": network.spec.to_dict(), "parameters": count_parameters(network),
             "losses": "labels"}
    if run.begin("train", resolved, facts) and run.is_complete():
        run_on_main_and_broadcast(lambda: check_recorded_route(run))
        return run.path
    method = Supervised(network, resolved.head, classes)
    machine = Machine(resolved.machine)
    loader = build_loader(data, resolved.model.size, resolved, machine)
    check_schedule(training, loader.steps_per_epoch)
    recorder = RouteRecorder(run, network, resolved.route.every_epochs, loader.steps_per_epoch)
    trainer = Trainer(run, method, lambda stage: Stage(training.epochs), loader, training, machine,
                      on_checkpoint=recorder, event_every_steps=recorder.event_every_steps)
    trainer.fit()
    save_student(run, network, trainer.ema)
    run.finish()
    return run.path
