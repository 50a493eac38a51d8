from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from facekd.cli.common import (
    add_command,
    add_detector_option,
    add_model_options,
    add_recipe_arguments,
    add_result_options,
    input_options,
    parse_input,
    split_overrides,
)
from facekd.errors import FacekdError, ModelError


def new_command() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """A parser with the group ``eval`` and the command ``eval verify`` in it; and the command's own parser."""
    parser = argparse.ArgumentParser("facekd")
    group = parser.add_subparsers().add_parser("eval").add_subparsers()
    return parser, add_command(group, "verify", lambda args: 7, "verify pairs", "facekd eval verify a")


def test_a_command_has_its_full_name_and_its_function() -> None:
    parser, _ = new_command()
    args = parser.parse_args(["eval", "verify"])
    assert (args.command, args.run(args)) == ("eval verify", 7)


def test_the_shared_options_have_these_names() -> None:
    parser, command = new_command()
    add_model_options(command)
    add_detector_option(command)
    add_result_options(command)
    words = "eval verify --model m --no-flip --device cpu --json j --name n"
    args = vars(parser.parse_args(words.split()))
    assert {name: value for name, value in args.items() if name not in ("run", "command")} == {
        "model": "m", "flip": False, "device": "cpu", "detector": None, "json": "j", "name": "n", "pixels": None,
        "channels": None, "size": None, "output": None}


def test_what_is_stated_about_an_onnx_is_passed_on_and_nothing_else() -> None:
    parser, command = new_command()
    add_model_options(command)
    words = "eval verify --model m --pixels raw --channels bgr --size 128 --output y"
    assert input_options(parser.parse_args(words.split())) == {
        "pixels": "raw", "channels": "bgr", "size": 128, "output": "y"}
    assert input_options(parser.parse_args(["eval", "verify", "--model", "m"])) == {}


def test_a_required_model_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    parser, command = new_command()
    add_model_options(command)
    with pytest.raises(SystemExit):
        parser.parse_args(["eval", "verify"])
    assert "required: --model" in capsys.readouterr().err


def test_paths_and_overrides_of_a_recipe_are_one_list() -> None:
    parser, command = new_command()
    add_recipe_arguments(command, "DATASET OUT")
    args = parser.parse_args(["eval", "verify", "faces", "out", "seed=3", "--recipe", "r.yaml"])
    assert (args.arguments, args.recipe) == (["faces", "out", "seed=3"], "r.yaml")


def test_overrides_are_split_from_paths() -> None:
    overrides, paths = split_overrides(["model.size=64", "faces", "out", "seed=3"], 2, "DATASET OUT")
    assert (overrides, paths) == (["model.size=64", "seed=3"], ["faces", "out"])


def test_an_existing_folder_with_an_equals_sign_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "date=today"
    folder.mkdir()
    assert split_overrides([str(folder), "seed=3"], 2, "DATASET OUT") == (["seed=3"], [str(folder)])


def test_too_many_paths_are_refused() -> None:
    with pytest.raises(FacekdError, match="at most DATASET OUT and key=value are understood, not more paths"):
        split_overrides(["faces", "out", "more", "paths"], 2, "DATASET OUT")


def test_the_input_of_another_model_is_key_and_value() -> None:
    assert parse_input(["pixels=raw", "channels=bgr", "size=96", "output=y"], "--old-input") == {
        "pixels": "raw", "channels": "bgr", "size": 96, "output": "y"}
    assert parse_input(None, "--old-input") == {}


@pytest.mark.parametrize(("pair", "message"), [
    ("pixel=raw", "--old-input pixel=raw is unknown: .*pixels="), ("raw", "--old-input raw is unknown"),
    ("pixels=new", "--pixels new is unknown"), ("size=big", "no side of an image"),
])
def test_another_key_or_value_is_refused(pair: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_input([pair], "--old-input")
