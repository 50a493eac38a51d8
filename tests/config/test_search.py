from __future__ import annotations

import pytest
from pydantic import ValidationError

from facekd.config import SearchRecipe

PATHS = {"teacher": "t", "out": "o"}


def test_defaults_are_those_of_the_help() -> None:
    recipe = SearchRecipe.model_validate(PATHS)
    assert (recipe.cost, recipe.budget_fraction, recipe.budget, recipe.runtime) == ("macs", 0.5, None, "onnxruntime")
    assert (recipe.training.epochs, recipe.gate_lr_scale, recipe.random_controls) == (60, 10, 5)
    assert recipe.drop_blocks


@pytest.mark.parametrize("values", [
    {"budget_fraction": 1}, {"budget_fraction": 0}, {"budget": 0}, {"cost": "flops"}, {"random_controls": -1},
    {"dataset": "f"},  # it is that of the teacher
])
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SearchRecipe.model_validate({**PATHS, **values})
