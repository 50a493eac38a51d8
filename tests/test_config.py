"""What recipes can say: defaults, and values as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from facekd.config import DistillRecipe, LossRecipe, TeachRecipe

PLACES = {"faces": "f", "out": "o"}


def distilled(**values: Any) -> DistillRecipe:
    return DistillRecipe.model_validate({**PLACES, "plan": "p", **values})


def test_defaults_are_those_of_the_help() -> None:
    recipe = TeachRecipe.model_validate(PLACES)
    assert (recipe.model.name, recipe.model.size, recipe.model.embedding) == ("iresnet50", 112, 512)
    assert (recipe.head.name, recipe.head.scale, recipe.head.margin) == ("arcface", 64.0, None)
    assert (recipe.schedule.shape, recipe.schedule.gamma, recipe.seed) == ("cosine", 0.1, 0)
    assert (recipe.data.classes, recipe.data.withhold, recipe.data.views.kind) == (0, 0.0, "auto")
    assert recipe.route.every == 1


def test_a_student_has_defaults_of_its_own() -> None:
    assert (distilled().student.name, distilled().route.every, distilled().cache) == ("mobilefacenet", 0, "float16")


def test_only_softmax_is_a_closed_set() -> None:
    heads = {name: distilled(head={"name": name}).head.closed for name in ("arcface", "cosface", "softmax")}
    assert heads == {"arcface": False, "cosface": False, "softmax": True}


@pytest.mark.parametrize(("written", "weight", "options"), [
    (0.9, 0.9, {}), (2, 2.0, {}), ({"weight": 0.9, "temperature": 4}, 0.9, {"temperature": 4}),
    ({"normalize": False}, None, {"normalize": False}), ({}, None, {}),
])
def test_a_loss_is_a_number_or_its_weight_and_options(
    written: Any, weight: float | None, options: dict[str, Any]
) -> None:
    loss = LossRecipe.model_validate(written)
    assert (loss.weight, loss.options) == (weight, options)


@pytest.mark.parametrize("written", [True, "0.9", None, -1, {"weight": "much"}])
def test_what_is_no_weight_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError):
        LossRecipe.model_validate(written)


def test_off_is_understood_as_yaml_gives_it() -> None:
    assert (distilled(cache=False).cache, distilled(cache="off").cache) == ("off", "off")


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TeachRecipe.model_validate(PLACES).seed = 4  # type: ignore[misc]
