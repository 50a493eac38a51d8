from __future__ import annotations

import pytest
from pydantic import ValidationError

from facekd.config import TrainRecipe

PATHS = {"dataset": "f", "out": "o"}


def test_defaults_are_those_of_the_help() -> None:
    recipe = TrainRecipe.model_validate(PATHS)
    assert (recipe.model.name, recipe.model.size, recipe.model.embedding) == ("iresnet50", 112, 512)
    assert (recipe.head.name, recipe.head.scale, recipe.head.margin) == ("arcface", 64.0, None)
    assert (recipe.training.lr_schedule, recipe.training.gamma, recipe.seed) == ("cosine", 0.1, 0)
    assert (recipe.data.classes, recipe.data.val_fraction, recipe.data.augmentation.kind) == (0, 0.0, "auto")
    assert recipe.route.every_epochs == 1


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TrainRecipe.model_validate(PATHS).seed = 4  # type: ignore[misc]
