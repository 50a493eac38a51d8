"""Reading recipes: the file, the command line on top, and every mistake named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.config import DistillRecipe, TeachRecipe
from facekd.config.loading import dump_recipe, load_recipe
from facekd.errors import RecipeError

PLACES = ["faces=f", "out=o"]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(overrides: list[str], file: Path | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TeachRecipe, file, [*PLACES, *overrides])
    return caught.value.problems


def test_an_override_beats_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, "faces: f\nout: o\nseed: 3\nschedule: {epochs: 7, batch: 64}\n")
    recipe = load_recipe(TeachRecipe, file, ["schedule.epochs=9"])
    assert (recipe.schedule.epochs, recipe.schedule.batch, recipe.seed, recipe.schedule.momentum) == (9, 64, 3, 0.9)


def test_a_part_keeps_its_other_defaults() -> None:
    assert load_recipe(TeachRecipe, None, [*PLACES, "model.size=64"]).model.name == "iresnet50"
    assert load_recipe(DistillRecipe, None, [*PLACES, "plan=p", "student.size=64"]).student.name == "mobilefacenet"


def test_numbers_and_off_are_understood_as_people_write_them() -> None:
    recipe = load_recipe(DistillRecipe, None, [*PLACES, "plan=p", "cache=off", "schedule.weight_decay=5e-4"])
    assert (recipe.cache, recipe.schedule.weight_decay) == ("off", 5e-4)


def test_the_last_of_two_overrides_counts() -> None:
    assert load_recipe(TeachRecipe, None, [*PLACES, "seed=1", "seed=2"]).seed == 2


def test_values_are_yaml() -> None:
    values = ["model.options={width: 0.5}", "schedule.milestones=[0.5, 0.9]", "head.margin=null", "machine.compile=yes"]
    recipe = load_recipe(TeachRecipe, None, [*PLACES, *values])
    assert recipe.model.options == {"width": 0.5}
    assert recipe.schedule.milestones == [0.5, 0.9]
    assert recipe.head.margin is None
    assert recipe.machine.compile is True


def test_a_value_may_hold_equals_signs() -> None:
    assert load_recipe(TeachRecipe, None, ["faces=a=b", "out=o"]).faces == "a=b"


def test_three_mistakes_are_listed_at_once_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path, "faces: f\nout: o\nschedule: {epoch: 7, batch: many}\nhead: {scale: -1}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(TeachRecipe, file, [])
    assert str(caught.value).splitlines()[0] == f"3 problems in {file}:"
    assert sorted(caught.value.problems) == [
        "'head.scale': input should be greater than 0, not -1",
        "'schedule.batch': input should be a valid integer, unable to parse string as an integer, not 'many'",
        "unknown key 'schedule.epoch'; did you mean 'epochs'?",
    ]


def test_mistakes_of_file_and_command_line_come_together(tmp_path: Path) -> None:
    file = write(tmp_path, "sede: 1\n")
    problems = problems_of(["nonsense", "seed=-1"], file)
    assert len(problems) == 3
    assert problems[0].startswith("'nonsense' is no override; write key=value")


@pytest.mark.parametrize(("override", "hint"), [
    ("shedule.epochs=1", "did you mean 'schedule'?"),
    ("model.embeding=1", "did you mean 'embedding'?"),
    ("machine.treads=1", "did you mean 'threads'?"),
    ("head.zzzz=1", "valid names: centres, margin, name, options, rate, scale"),
])
def test_an_unknown_key_is_answered_with_the_nearest_of_its_level(override: str, hint: str) -> None:
    key = override.partition("=")[0]
    unknown = key.split(".")[0] if key.startswith("shedule") else key
    assert problems_of([override]) == [f"unknown key '{unknown}'; {hint}"]


@pytest.mark.parametrize(("override", "needed"), [
    ("model.size=16", "greater than or equal to 32, not 16"),
    ("model.size=257", "less than or equal to 256, not 257"),
    ("schedule.momentum=1", "less than 1, not 1"),
    ("schedule.shape=linear", "'cosine', 'step', 'poly', 'constant' or 'onecycle', not 'linear'"),
    ("schedule=5", "not 5"),
])
def test_a_value_out_of_range_is_named_with_its_range(override: str, needed: str) -> None:
    (problem,) = problems_of([override])
    assert problem.startswith(f"'{override.partition('=')[0]}': ")
    assert problem.endswith(needed)


@pytest.mark.parametrize(("overrides", "problem"), [
    (["losses.kd=high"], "'losses.kd': input should be a valid dictionary or instance of LossRecipe, not 'high'"),
    (["losses.kd.weight=-1"], "'losses.kd.weight': input should be greater than or equal to 0, not -1"),
    (["student.sise=64"], "unknown key 'student.sise'; did you mean 'size'?"),
    (["data.views.kind=crops"], "'data.views.kind': input should be 'auto', 'plain', 'flip', 'crop' or "
                                "'resized-crop', not 'crops'"),
    (["data.views.sead=1"], "unknown key 'data.views.sead'; did you mean 'seed'?"),
    (["mimic.l2=10"], "unknown key 'mimic'; valid names: "),
])
def test_mistakes_in_what_distill_adds_are_told(overrides: list[str], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(DistillRecipe, None, [*PLACES, "plan=p", *overrides])
    assert caught.value.problems[0].startswith(problem)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("text", ["=3", "epochs"])
def test_an_override_that_is_none_is_refused(text: str) -> None:
    assert problems_of([text]) == [f"'{text}' is no override; write key=value, e.g. schedule.epochs=10"]


def test_an_override_below_a_value_is_refused() -> None:
    assert problems_of(["seed=3", "seed.first=1"]) == ["'seed.first': 'seed' holds 3 and has no keys below it"]


def test_an_unreadable_value_is_refused() -> None:
    (problem,) = problems_of(["schedule.milestones=[0.5"])
    assert problem.startswith("'schedule.milestones=[0.5': the value is not readable; quote it")


def test_missing_keys_are_named() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(DistillRecipe, None, ["faces=f"])
    assert caught.value.problems == ["'plan' is missing; give plan=...", "'out' is missing; give out=..."]


@pytest.mark.parametrize(("text", "said"), [("[1, 2]", "holds a list"), ("a: [", "not readable as YAML")])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(TeachRecipe, write(tmp_path, text), [])


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml:\n.*the file does not exist"):
        load_recipe(TeachRecipe, tmp_path / "none.yaml", [])


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    file = write(tmp_path, f"faces: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        load_recipe(TeachRecipe, file, [])
    assert not mark.exists()


def test_what_is_dumped_reads_back_equal(tmp_path: Path) -> None:
    values = ["faces=f", "plan=p", "out=Zoë", "student.options={width: 0.5}", "head.margin=0.4", "cache=off",
              "losses.kd={weight: 0.9, temperature: 2}", "losses.labels=0.1"]
    recipe = load_recipe(DistillRecipe, None, values)
    assert load_recipe(DistillRecipe, write(tmp_path, dump_recipe(recipe)), []) == recipe


def test_the_recipes_of_the_repository_are_valid() -> None:
    folder = Path(__file__).resolve().parent.parent / "recipes"
    found = sorted(folder.rglob("*.yaml"))
    assert found
    for file in found:
        if "distill" in file.name:
            load_recipe(DistillRecipe, file, ["faces=f", "plan=p", "out=o"])
        else:
            load_recipe(TeachRecipe, file, PLACES)
