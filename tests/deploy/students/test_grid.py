from __future__ import annotations

from typing import Any

import pytest

from facekd.config import DistillRecipe
from facekd.config.loading import load_recipe
from facekd.deploy.students.grid import Student, list_students
from facekd.errors import ModelError, OptionError
from facekd.models.complexity import count_parameters
from facekd.models.registry import create


def test_the_grid_has_every_combination_once() -> None:
    students = list(list_students(64, architectures=["iresnet10"], widths=[0.125], sizes=[64, 96]))
    assert [(s.size, s.precision) for s in students] == [
        (size, precision) for size in (64, 96) for precision in ("fp32", "fp16", "int8")]


def test_a_recipe_with_the_overrides_makes_the_network() -> None:
    _, student = list_students(96, architectures=["mobilenetv2"], widths=[0.35], sizes=[80], precisions=["int8"])
    recipe = load_recipe(DistillRecipe, None, student.overrides, {"dataset": "d", "plan": "p", "out": "o"}).student
    network = create(recipe.name, size=recipe.size, outputs=recipe.embedding, **recipe.options)
    assert count_parameters(network) == student.parameters
    assert recipe.options == student.options == {"width": 0.35, "norm": True, "head": "gdc", "last_conv": False}


def test_the_title_names_the_options() -> None:
    student = Student("mobilenetv2", {"width": 0.5, "norm": True, "head": "gdc"}, 64, 128, "int8", 1, 1, 1)
    assert student.title == "mobilenetv2 x0.5 norm=true head=gdc"


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"architectures": ["mobilfacenet"]}, OptionError, "no architecture 'mobilfacenet': did you mean 'mobilefacenet'?"),
    ({"precisions": ["int4"]}, OptionError, "no precision 'int4': did you mean 'int8'?"),
    ({"sizes": [100]}, OptionError, "a multiple of 16 pixels from 32 on, not 100"),
    ({"sizes": [16]}, OptionError, "a multiple of 16 pixels from 32 on, not 16"),
    ({"widths": [0.0]}, ModelError, "width 0 leaves no channel"),
])
def test_what_the_grid_does_not_have_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message.replace("?", r"\?")):
        list(list_students(64, **arguments))
