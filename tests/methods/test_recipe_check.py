"""Recipes with unknown names: all of them are listed, beside the mistakes that the schema finds."""

from __future__ import annotations

import time

import pytest

from facekd.config import DistillRecipe, TrainRecipe
from facekd.errors import RecipeError
from facekd.methods.recipe_check import load_training_recipe

PATHS = ["dataset=f", "out=o"]


def problems_of(recipe_class: type[TrainRecipe | DistillRecipe], *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_training_recipe(recipe_class, None, [*PATHS, *(["plan=p"] if recipe_class is DistillRecipe else []),
                                                  *overrides])
    return caught.value.problems


def test_three_mistakes_of_a_newcomer_are_listed_at_once() -> None:
    problems = problems_of(DistillRecipe, "student.name=mobilenetv2x0.5", "student.width=0.5", "training.epoch=10")
    assert problems == [
        "unknown key 'student.width'; valid names: compatible, embedding, name, normalization, options, size, "
            "weights",
        "unknown key 'training.epoch'; did you mean 'epochs'?",
        "'student': unknown model 'mobilenetv2x0.5': did you mean 'mobilenetv2'?",
    ]


def test_names_and_options_of_all_parts_are_listed_at_once() -> None:
    problems = problems_of(
        DistillRecipe, "student.options={widht: 0.5, blocks: [1]}", "student.normalization=cifar", "head.name=arcfase",
        "method=kd + rkdd", "losses={kdd: 1, kd: {temprature: 4}, labels: {smoothing: 0.1}}")
    assert [problem.split("'; ")[0].split(": did")[0] for problem in problems] == [
        "'student': mobilefacenet: unknown normalization 'cifar'",
        "'student': mobilefacenet: unknown option 'widht",
        "'student': mobilefacenet: option 'blocks' must be 4 values like [1, 4, 6, 2], not [1]",
        "'head.name': unknown head 'arcfase'",
        "'method': unknown method 'rkdd'",
        "'losses': unknown loss 'kdd'",
        "'losses.kd': loss kd: unknown option 'temprature",
        "'losses.labels': unknown option 'smoothing",
    ]


@pytest.mark.parametrize(("override", "problem"), [
    ("head.options={marign: 1}", "'head.options': head arcface: unknown option 'marign'"),
    ("model.options={width: 1000000}", "'model': iresnet50: option 'width' must be at most 10000"),
    ("model.name=keras/resnet50", "'model': unknown model 'keras/resnet50'"),
    ("model.size=100", "'model': iresnet50: size must be a multiple of 16"),
    ("model.size=10000", "'model.size': input should be less than or equal to 256"),
])
def test_a_single_mistake_is_named_once(override: str, problem: str) -> None:
    (found,) = problems_of(TrainRecipe, override)
    assert found.startswith(problem)


@pytest.mark.parametrize("override", ["method=prokt + dml", "losses.kd={begin: 0.5, end: 0.2}"])
def test_terms_that_do_not_go_together_are_a_mistake_of_the_recipe(override: str) -> None:
    assert len(problems_of(DistillRecipe, override)) == 1


@pytest.mark.parametrize("override", [
    "student=5", "student.name=[a]", "student.options=[1]", "head=[]", "head.name={}", "losses=5", "losses={1: 2}",
    "losses.kd=[1]", "method=[kd]", "student.normalization={}", "student.options={1: 2}", "head.options=7",
])
def test_a_value_of_another_type_is_named_by_the_schema_alone(override: str) -> None:
    assert len(problems_of(DistillRecipe, override)) == 1


def test_the_lists_of_a_hostile_recipe_are_short_and_quick() -> None:
    begin = time.monotonic()
    names = ", ".join(f"{'x' * 20}{number}: 1" for number in range(2000))
    problems = problems_of(DistillRecipe, f"losses={{{names}}}", f"student.name={'y' * 30_000}")
    assert len(problems) == 21 and max(map(len, problems)) < 900 and time.monotonic() - begin < 10


def test_a_recipe_without_mistakes_is_read() -> None:
    recipe = load_training_recipe(TrainRecipe, None, [*PATHS, "model.options={width: 0.5}", "head.name=softmax"])
    assert recipe.model.options == {"width": 0.5}
