"""The exception tree, and the hints of its messages."""

from __future__ import annotations

import inspect

import pytest

from facekd import errors
from facekd.errors import FacekdError, RecipeError, did_you_mean


def test_every_error_is_one_that_the_command_line_prints() -> None:
    members = [member for _, member in inspect.getmembers(errors, inspect.isclass)]
    classes = [member for member in members if member.__module__ == errors.__name__]
    assert len(classes) > 5
    assert [kind.__name__ for kind in classes if not issubclass(kind, FacekdError)] == []


def test_a_recipe_error_lists_all_problems() -> None:
    error = RecipeError(["'a' is wrong", "'b' is missing"], "recipe.yaml")
    assert str(error) == "2 problems in recipe.yaml:\n  - 'a' is wrong\n  - 'b' is missing"
    assert error.problems == ["'a' is wrong", "'b' is missing"]
    assert str(RecipeError(["x"], "r")).startswith("1 problem in r:")


@pytest.mark.parametrize(("name", "hint"), [
    ("arcfce", "did you mean 'arcface'?"), ("zzz", "valid names: adaface, arcface, cosface"),
])
def test_the_hint_is_the_most_similar_name_or_all(name: str, hint: str) -> None:
    assert did_you_mean(name, ["cosface", "arcface", "adaface"]) == hint


@pytest.mark.parametrize("name", [1.5, None, ["a"], "\0" * 10_000])
def test_a_name_from_a_file_may_be_anything(name: object) -> None:
    assert did_you_mean(name, ["cosface"]) == "valid names: cosface"
