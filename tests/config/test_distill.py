"""The recipe of distill: defaults, and values as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from facekd.config import DistillRecipe, JointTeacherRecipe, LossRecipe


def distill_recipe(**values: Any) -> DistillRecipe:
    return DistillRecipe.model_validate({"dataset": "f", "out": "o", "plan": "p", **values})


def test_a_student_has_defaults_of_its_own() -> None:
    recipe = distill_recipe()
    assert (recipe.student.name, recipe.route.every_epochs, recipe.teacher_cache) == ("mobilefacenet", 0, "float16")


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


@pytest.mark.parametrize("written", [{}, {"weight": 0.5}, {"weight": None, "end": 0.2}, {"temperature": 2.0}])
def test_only_what_was_set_of_a_loss_is_written(written: dict[str, Any]) -> None:
    assert LossRecipe.model_validate(written).model_dump() == written


def test_off_is_understood_as_yaml_gives_it() -> None:
    recipes = [distill_recipe(teacher_cache=value) for value in (False, "off")]
    assert [recipe.teacher_cache for recipe in recipes] == ["off", "off"]


@pytest.mark.parametrize(("given", "fresh_by_default", "fresh", "lr_scale"), [
    ({}, False, False, 0.3), ({}, True, True, 1.0), ({"fresh": True}, False, True, 1.0),
    ({"fresh": False}, True, False, 0.3), ({"lr_scale": 0.03}, True, True, 0.03),
])
def test_what_a_joint_teacher_leaves_open_follows_from_the_method(
    given: dict[str, Any], fresh_by_default: bool, fresh: bool, lr_scale: float
) -> None:
    recipe = JointTeacherRecipe(mode="dual", **given).with_defaults(fresh_by_default)
    assert (recipe.fresh, recipe.lr_scale, recipe.mode) == (fresh, lr_scale, "dual")
