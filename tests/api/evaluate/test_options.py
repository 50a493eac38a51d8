from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekd.api.evaluate.options import check_megaface_options, model_options
from facekd.errors import DataError, ModelError, SetupError

DEFAULTS: dict[str, Any] = {
    "template_lists": None, "suffix": None, "sizes": (), "set_index": None, "noise_lists": None, "noise_mode": None,
    "features": None, "out": None, "json": None, "across": False, "flip": True,
}


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., None]:
    """``check(True, suffix="_m.bin")`` checks an argument beside a model; False: beside features."""

    def call(has_model: bool, **arguments: Any) -> None:
        check_megaface_options(tmp_path / "p", tmp_path / "d", has_model=has_model, **{**DEFAULTS, **arguments})

    return call


def test_the_arguments_for_a_model_that_differ_from_their_defaults_are_named() -> None:
    assert model_options(True) == {"no-flip": None, "device": None}
    assert model_options(False, "cpu") == {"no-flip": True, "device": "cpu"}


@pytest.mark.parametrize(("has_model", "arguments", "message"), [
    (True, {"across": True}, "--across has no effect: a model embeds both"),
    (False, {"flip": False}, "--no-flip has no effect: without --model"),
    (False, {"features": "f"}, "--features has no effect: without --model"),
    (False, {"suffix": "_m.bin"}, "--suffix has no effect: no tree"),
    (True, {"suffix": "_m.bin"}, "--suffix has no effect: no tree"),
    (False, {"sizes": [10]}, "--sizes has no effect: it selects lists of --template-lists"),
    (False, {"set_index": 99}, "--set has no effect: it selects lists of --template-lists"),
    (False, {"set_index": 1}, "--set has no effect"),
    (True, {"noise_mode": "raw"}, "--noise-mode has no effect: it needs --noise-lists"),
])
def test_an_argument_without_an_effect_is_refused(
    check: Callable[..., None], has_model: bool, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        check(has_model, **arguments)


@pytest.mark.parametrize(("has_model", "arguments"), [
    (True, {"flip": False, "features": "f"}), (False, {"across": True}), (True, {"suffix": "_m.bin", "out": "o"}),
    (True, {"template_lists": "t", "sizes": [10, 20], "set_index": 3, "noise_lists": "n", "noise_mode": "strict"}),
])
def test_an_argument_with_an_effect_passes(
    check: Callable[..., None], has_model: bool, arguments: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    check(has_model, **arguments)


def test_the_suffix_of_a_tree_has_an_effect(check: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    check(False, suffix="_m.bin")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"suffix": "/../x", "out": "o"}, "is no end of a file name"),
    ({"template_lists": "t", "sizes": [10, 20, 10]}, "--sizes 10 20 10 names a size twice"),
    ({"json": "a.npz"}, "would be replaced by the counts"),
])
def test_a_value_without_sense_is_refused(
    check: Callable[..., None], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check(True, **arguments)


def test_one_path_as_both_is_refused_without_lists(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {**DEFAULTS, "has_model": True}
    with pytest.raises(DataError, match="is given both as the probes and as the distractors"):
        check_megaface_options(tmp_path / "p", tmp_path / "x" / ".." / "p", **arguments)
    check_megaface_options(tmp_path, tmp_path, **{**arguments, "template_lists": "t"})


@pytest.mark.parametrize("argument", ["out", "features"])
def test_a_file_where_a_folder_is_written_is_refused(
    check: Callable[..., None], argument: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="file is no folder"):
        check(True, **{argument: tmp_path / "file"})
