"""``facekd doctor``: a diagnosis of face sets, or of a planned training run with its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import Unpack

from facekd.data.diagnosis.diagnose import Diagnosis, diagnose
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.models.input_format import NO_MODEL, InputOptions, refuse_options
from facekd.preflight.preflight import preflight


def doctor(*datasets: Path | str, recipe: Path | str | None = None, overrides: Sequence[str] = (), world_size: int = 1,
           model: Path | str | None = None, labels: bool | None = None, root: Path | str | None = None,
           **options: Unpack[InputOptions]) -> Diagnosis:
    """Examine face sets, each of them and in pairs; with a recipe, examine the planned training run.

    Args:
        datasets: face sets; with a recipe the test sets, as the training set is part of the recipe.
        recipe: a recipe of train or distill; memory, disk, batch, learning rate and data are checked before training.
        overrides: ``key=value`` strings that override the recipe.
        world_size: number of processes of the planned run.
        model: a model that searches the faces for wrong labels, identities under two names, and test identities in the
            training set.
        labels: whether the sets have labels, see `facekd.data.opening.open_faces`; a recipe states it itself.
        root: the folder from which the paths of a text list start.
        options: how an ``.onnx`` model is fed, see `facekd.models.input_format.InputOptions`.

    Returns:
        the diagnosis; with a recipe a `facekd.preflight.preflight.Preflight`.

    Raises:
        DataError: a set cannot be opened, or options that need a recipe are given without one.
        RecipeError: the recipe has mistakes.
        RouteError: its plan or route is damaged.
        ModelError: its network or head, or the model, cannot be built.
    """
    if not model:
        refuse_options(options, NO_MODEL)
    if recipe:
        if labels is not None or root is not None:
            raise DataError("the recipe states how its faces are read (data.labels, data.root); leave --no-labels and "
                            "--root out")
        test_sets = [Path(path) for path in datasets]
        return preflight(Path(recipe), overrides, test_sets, world_size, Path(model) if model else None, **options)
    if overrides or world_size != 1 or model or not datasets:
        raise DataError("give face sets to examine, or --recipe FILE for a planned training run; key=value, "
                        "--world-size and --model need a recipe")
    return diagnose([open_faces(path, labels=labels, root=root) for path in datasets])
