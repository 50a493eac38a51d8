"""Reading recipes: the file, the command line on top, and every mistake named at once."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from facekd.config import DistillRecipe, TrainRecipe
from facekd.config.loading import (
    MAX_DIFFERENCES,
    MAX_PROBLEMS,
    dump_recipe,
    load_recipe,
    load_run_recipe,
    recipe_differences,
)
from facekd.errors import RecipeError

PATHS = ["dataset=f", "out=o"]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(overrides: list[str], file: Path | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TrainRecipe, file, [*PATHS, *overrides])
    return caught.value.problems


def test_an_override_beats_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, "dataset: f\nout: o\nseed: 3\ntraining: {epochs: 7, batch_size: 64}\n")
    recipe = load_recipe(TrainRecipe, file, ["training.epochs=9"])
    training = recipe.training
    assert (training.epochs, training.batch_size, recipe.seed, training.momentum) == (9, 64, 3, 0.9)


def test_a_part_keeps_its_other_defaults() -> None:
    assert load_recipe(TrainRecipe, None, [*PATHS, "model.size=64"]).model.name == "iresnet50"
    assert load_recipe(DistillRecipe, None, [*PATHS, "plan=p", "student.size=64"]).student.name == "mobilefacenet"


def test_numbers_and_off_are_understood_as_people_write_them() -> None:
    recipe = load_recipe(DistillRecipe, None, [*PATHS, "plan=p", "teacher_cache=off", "training.weight_decay=5e-4"])
    assert (recipe.teacher_cache, recipe.training.weight_decay) == ("off", 5e-4)


def test_the_last_of_two_overrides_counts() -> None:
    assert load_recipe(TrainRecipe, None, [*PATHS, "seed=1", "seed=2"]).seed == 2


def test_values_are_yaml() -> None:
    values = ["model.options={width: 0.5}", "training.milestones=[0.5, 0.9]", "head.margin=null", "machine.compile=yes"]
    recipe = load_recipe(TrainRecipe, None, [*PATHS, *values])
    assert recipe.model.options == {"width": 0.5}
    assert recipe.training.milestones == [0.5, 0.9]
    assert recipe.head.margin is None
    assert recipe.machine.compile is True


def test_a_value_may_hold_equals_signs() -> None:
    assert load_recipe(TrainRecipe, None, ["dataset=a=b", "out=o"]).dataset == "a=b"


def test_three_mistakes_are_listed_at_once_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path, "dataset: f\nout: o\ntraining: {epoch: 7, batch_size: many}\nhead: {scale: -1}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(TrainRecipe, file, [])
    assert str(caught.value).splitlines()[0] == f"3 problems in {file}:"
    assert sorted(caught.value.problems) == [
        "'head.scale': input should be greater than 0, not -1",
        "'training.batch_size': input should be a valid integer, unable to parse string as an integer, not 'many'",
        "unknown key 'training.epoch'; did you mean 'epochs'?",
    ]


def test_mistakes_of_file_and_command_line_come_together(tmp_path: Path) -> None:
    file = write(tmp_path, "sede: 1\n")
    problems = problems_of(["nonsense", "seed=-1"], file)
    assert len(problems) == 3
    assert problems[0].startswith("'nonsense' is no override; write key=value")


@pytest.mark.parametrize(("override", "hint"), [
    ("trainig.epochs=1", "did you mean 'training'?"),
    ("model.embeding=1", "did you mean 'embedding'?"),
    ("machine.treads=1", "did you mean 'threads'?"),
    ("head.zzzz=1", "valid names: margin, name, options, sample_rate, scale, sub_centers"),
])
def test_an_unknown_key_is_answered_with_the_nearest_of_its_level(override: str, hint: str) -> None:
    key = override.partition("=")[0]
    unknown = key.split(".")[0] if key.startswith("trainig") else key
    assert problems_of([override]) == [f"unknown key '{unknown}'; {hint}"]


@pytest.mark.parametrize(("override", "needed"), [
    ("model.size=16", "greater than or equal to 32, not 16"),
    ("model.size=257", "less than or equal to 256, not 257"),
    ("training.momentum=1", "less than 1, not 1"),
    ("training.lr_schedule=linear", "'cosine', 'step', 'poly', 'constant' or 'onecycle', not 'linear'"),
    ("training=5", "not 5"),
])
def test_a_value_out_of_range_is_named_with_its_range(override: str, needed: str) -> None:
    (problem,) = problems_of([override])
    assert problem.startswith(f"'{override.partition('=')[0]}': ")
    assert problem.endswith(needed)


@pytest.mark.parametrize(("overrides", "problem"), [
    (["losses.kd=high"], "'losses.kd': input should be a valid dictionary or instance of LossRecipe, not 'high'"),
    (["losses.kd.weight=-1"], "'losses.kd.weight': input should be greater than or equal to 0, not -1"),
    (["student.sise=64"], "unknown key 'student.sise'; did you mean 'size'?"),
    (["data.augmentation.kind=crops"], "'data.augmentation.kind': input should be 'auto', 'plain', 'flip', 'camera', "
                                       "'crop' or 'resized-crop', not 'crops'"),
    (["data.augmentation.sead=1"], "unknown key 'data.augmentation.sead'; did you mean 'seed'?"),
    (["mimic.l2=10"], "unknown key 'mimic'; valid names: "),
])
def test_mistakes_in_what_distill_adds_are_named(overrides: list[str], problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(DistillRecipe, None, [*PATHS, "plan=p", *overrides])
    assert caught.value.problems[0].startswith(problem)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("text", ["=3", "epochs"])
def test_an_override_that_is_none_is_refused(text: str) -> None:
    assert problems_of([text]) == [f"'{text}' is no override; write key=value, e.g. training.epochs=10"]


def test_an_override_below_a_value_is_refused() -> None:
    assert problems_of(["seed=3", "seed.first=1"]) == ["'seed.first': 'seed' holds 3 and has no keys below it"]


def test_an_unreadable_value_is_refused() -> None:
    (problem,) = problems_of(["training.milestones=[0.5"])
    assert problem.startswith("'training.milestones=[0.5': the value is not readable; quote it")


def test_missing_keys_are_named() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(DistillRecipe, None, ["dataset=f"])
    assert caught.value.problems == ["'plan' is missing; give plan=...", "'out' is missing; give out=..."]


@pytest.mark.parametrize(("text", "message"), [("[1, 2]", "holds a list"), ("a: [", "cannot be read as YAML (line 1")])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        load_recipe(TrainRecipe, write(tmp_path, text), [])


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml:\n  - does not exist; check the path"):
        load_recipe(TrainRecipe, tmp_path / "none.yaml", [])


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    file = write(tmp_path, f"dataset: !!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(RecipeError, match="cannot be read as YAML"):
        load_recipe(TrainRecipe, file, [])
    assert not mark.exists()


ALIASES = "x0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)) + "seed: *a8\n"


@pytest.mark.parametrize(("text", "message"), [
    (ALIASES, "aliases"), ("seed: 2001-99-99", "month"), ("seed: " + "9" * 5000, "more than 40 characters"),
    ("seed: " + "[" * 5000, "nested too deeply"), ("? [a, b]\n: 1", "unhashable"), ("seed: 2001-01-01", "'seed'"),
    ("1: 2", "'1'"), ("seed: " + "1:" * 20_000 + "1", "more than 40 characters"), ("a" * 1000 + ": 1", "unknown key"),
    (f"seed: {'x' * 60_000}", "'seed'"), (f"seed: {['x'] * 5000}", "'seed'"),
])
def test_a_recipe_of_anybody_is_refused_in_short_lines_and_at_once(tmp_path: Path, text: str, message: str) -> None:
    begin = time.monotonic()
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(TrainRecipe, write(tmp_path, text), PATHS)
    assert max(map(len, str(caught.value).splitlines())) < 650 and time.monotonic() - begin < 5


@pytest.mark.parametrize("value", ["2001-99-99", "9" * 5000, "[" * 2000, "*a"])
def test_an_override_of_anybody_is_refused_in_a_short_line(value: str) -> None:
    (problem,) = problems_of([f"seed={value}"])
    assert len(problem) < 300 and "is not readable" in problem


def test_a_key_of_many_levels_is_refused() -> None:
    assert "more than 8 levels" in problems_of([".".join("a" * 100) + "=1"])[0]


def test_of_very_many_mistakes_the_first_are_listed_and_the_others_counted() -> None:
    problems = problems_of([f"seed{number}=1" for number in range(100)])
    assert len(problems) == MAX_PROBLEMS + 1 and problems[-1] == "and 80 more"


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot be read .*directory"):
        load_recipe(TrainRecipe, tmp_path, PATHS)


def test_a_path_that_is_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TrainRecipe, None, ["dataset=/x"], {"dataset": "faces", "out": "run"})
    assert caught.value.problems == ["'dataset' is given twice, as 'faces' and by 'dataset=/x'; leave one of them out"]


def test_a_path_in_front_takes_the_place_of_that_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "dataset: f\nout: o\n")
    assert load_recipe(TrainRecipe, file, [], {"out": "new"}).out == "new"


@pytest.mark.parametrize("overrides", [["out="], ["out=''"]])
def test_an_empty_path_is_refused(overrides: list[str]) -> None:
    with pytest.raises(RecipeError, match="'out': "):
        load_recipe(TrainRecipe, None, ["dataset=f", *overrides])


def test_the_mistakes_of_a_check_come_with_the_others() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(TrainRecipe, None, [*PATHS, "sede=1"], check=lambda tree: [f"checked {tree['sede']}"])
    assert caught.value.problems == ["unknown key 'sede'; did you mean 'seed'?", "checked 1"]


def test_a_path_that_is_not_utf8_goes_through_a_written_recipe(tmp_path: Path) -> None:
    name = os.fsdecode(b"faces-\xff")
    recipe = load_recipe(TrainRecipe, None, [], {"dataset": name, "out": "o"})
    assert load_recipe(TrainRecipe, write(tmp_path, dump_recipe(recipe)), []).dataset == name


def test_what_is_dumped_reads_back_equal(tmp_path: Path) -> None:
    values = ["dataset=f", "plan=p", "out=Zoë", "student.options={width: 0.5}", "head.margin=0.4", "teacher_cache=off",
              "losses.kd={weight: 0.9, temperature: 2}", "losses.labels=0.1"]
    recipe = load_recipe(DistillRecipe, None, values)
    assert load_recipe(DistillRecipe, write(tmp_path, dump_recipe(recipe)), []) == recipe


def test_the_recipe_of_a_run_is_read_by_its_command(tmp_path: Path) -> None:
    write(tmp_path, dump_recipe(load_recipe(DistillRecipe, None, [*PATHS, "plan=p", "seed=3"])))
    recipe = load_run_recipe(tmp_path, "distill")
    assert isinstance(recipe, DistillRecipe) and (recipe.plan, recipe.seed) == ("p", 3)
    with pytest.raises(RecipeError, match="unknown key 'plan'"):
        load_run_recipe(tmp_path, "train")


def differences(folder: Path, written: list[str], now: list[str]) -> str:
    """What a recipe of distill differs in from a written one; both from overrides."""
    paths = [*PATHS, "plan=p"]
    file = write(folder, dump_recipe(load_recipe(DistillRecipe, None, [*paths, *written])))
    return recipe_differences(file, load_recipe(DistillRecipe, None, [*paths, *now]))


@pytest.mark.parametrize(("written", "now", "text"), [
    (["losses.kd.weight=0.9", "losses.rkd.weight=0.1"], ["losses.kd.weight=0.1", "losses.rkd.weight=0.9"],
     "losses.kd.weight was 0.9 and is 0.1; losses.rkd.weight was 0.1 and is 0.9"),
    (["head.options={margins: [1, 0.5, 0]}"], ["head.options={margins: [1, 0, 0.5]}"],
     "head.options.margins was [1, 0.5, 0] and is [1, 0, 0.5]"),
    (["student.options={width: 1}"], ["student.options={width: {first: 1}}"],
     "student.options.width was 1 and is {'first': 1}"),
    (["losses={hint: {weight: 1, end: 0.5}, kd: 1}"], ["losses={hint: 1, kd: {weight: 1, end: 0.5}}"],
     "losses.hint.end was 0.5 and is absent; losses.kd.end was absent and is 0.5"),
    (["losses.kd={}"], [], "losses.kd was {} and is absent"),
], ids=["swapped weights", "reordered list", "changed nesting", "moved key", "removed loss"])
def test_a_difference_is_named_with_its_key_and_both_values(
    tmp_path: Path, written: list[str], now: list[str], text: str
) -> None:
    assert differences(tmp_path, written, now) == text


def test_a_default_that_was_written_out_is_no_difference(tmp_path: Path) -> None:
    assert differences(tmp_path, [], ["seed=0", "training.epochs=20", "head={}"]) == ""


def test_a_written_recipe_without_a_newer_key_has_its_default(tmp_path: Path) -> None:
    recipe = load_recipe(TrainRecipe, None, PATHS)
    assert recipe_differences(write(tmp_path, "dataset: f\nout: o\n"), recipe) == ""


def test_many_differences_are_counted(tmp_path: Path) -> None:
    now = ["seed=1", "training.epochs=1", "training.momentum=0", "head.scale=1", "student.size=64", "machine.threads=1"]
    assert differences(tmp_path, [], now).count(" was ") == MAX_DIFFERENCES
    assert differences(tmp_path, [], now).endswith("; and 2 more")


@pytest.mark.parametrize(("text", "problem"), [(None, "does not exist"), ("sede: 1", "unknown key 'sede'")])
def test_a_file_that_cannot_be_read_is_a_difference(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "recipe.yaml" if text is None else write(tmp_path, f"dataset: f\nout: o\n{text}\n")
    difference = recipe_differences(file, load_recipe(TrainRecipe, None, PATHS))
    assert difference.startswith(f"{file}: {problem}")


def test_the_recipes_of_the_repository_are_valid() -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    files = sorted(folder.rglob("*.yaml"))
    assert files
    for file in files:
        if "distill" in file.name:
            load_recipe(DistillRecipe, file, ["dataset=f", "plan=p", "out=o"])
        else:
            load_recipe(TrainRecipe, file, PATHS)
