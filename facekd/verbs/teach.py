"""``facekd teach``: a face set in, a trained network and its route out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from facekd.config import TeachRecipe, load_recipe
from facekd.data.faceset import open_faces
from facekd.data.loader import Loader
from facekd.methods.labels import Labels
from facekd.models.count import parameters
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.route.route import Route
from facekd.runs import Run
from facekd.training.loop import Moment, Trainer
from facekd.training.method import Stage


def teach(faces: Path | str | None = None, out: Path | str | None = None, *overrides: str,
          recipe: Path | str | None = None) -> Path:
    """Train a network on labels under a margin head, and record the route its weights travel.

    The same call continues a run that was killed; on a CPU it ends with the very same weights.

    Args:
        faces: the training face set (recipe key ``faces``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` of `facekd.config.TeachRecipe`, e.g. ``"model.name=iresnet18"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``model.safetensors`` and ``route/``.

    Raises:
        RecipeError: mistakes in the recipe.
        DataError: the face set cannot be used.
        SetupError: the folder holds another run, the disk is full, the device is absent.
    """
    given = {"faces": faces, "out": out}
    resolved = load_recipe(TeachRecipe, Path(recipe) if recipe else None, overrides, given)
    run = Run(Path(resolved.out))
    data = open_faces(resolved.faces)
    torch.manual_seed(resolved.seed)
    model = create(resolved.model.name, size=resolved.model.size, embedding=resolved.model.embedding,
                   **resolved.model.options)
    if run.begin("teach", resolved, {"faces": asdict(data.fingerprint()), "model": model.spec.to_dict(),
                                     "parameters": parameters(model)}) and run.finished:
        return run.path
    method = Labels(model, resolved.head, data.identities)
    loader = Loader(data, resolved.model.size, resolved.schedule.batch, resolved.seed, resolved.machine.memory)
    route = Route.open(run.path) if (run.route / "route.json").exists() else Route(run.route, model.spec)

    def record(moment: Moment) -> None:
        every = resolved.route.every
        due = moment.reason != "epoch" or (every > 0 and moment.step % max(1, round(every * loader.steps)) == 0)
        if every > 0 and due:
            route.record(model, moment.step, moment.epoch, moment.learning_rate, moment.reason, moment.metrics)

    stages = [Stage(resolved.schedule.epochs)]
    Trainer(run, method, stages, loader, resolved.schedule, resolved.machine, record).fit()
    save_model(model, run.model)
    run.finish()
    return run.path
