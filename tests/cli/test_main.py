"""The command line: help that teaches, words taken apart, and errors that are one message."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import facekd
from facekd.cli import main as cli
from facekd.errors import DataError
from facekd.route.plan import Growth, Plan
from facekd.route.route import Point, Route

ROOT = Path(__file__).resolve().parent.parent
VERBS = ["doctor", "clean", "pack", "align", "teach", "plan", "route import", "distill", "search", "eval verify",
         "eval megaface", "eval ijb", "eval search", "eval all", "eval cifar", "eval imagenet", "export", "report",
         "embed", "compare", "demo"]
Call = Callable[..., int]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What ``teach`` was called with, in place of training."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def teach(*words: Any, **options: Any) -> Path:
        calls.append((words, options))
        return Path("run")

    monkeypatch.setattr("facekd.api.train.teach", teach)
    return calls


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(call: Call, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert call(*verb.split(), "--help") == 0
    text = capsys.readouterr().out
    assert re.search(rf"examples:\n  facekd {verb}\b", text)


def test_the_help_names_every_verb(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert [verb for verb in VERBS if not re.search(rf"^ +{verb.split()[0]} ", text, re.MULTILINE)] == []


@pytest.mark.parametrize("words", [(), ("tech",), ("eval",), ("route",), ("eval", "verfy"), ("embed", "a", "b.npy"),
                                   ("doctor", "a", "--unknown"), ("doctor", "a", "--json")])
def test_words_that_are_no_command_end_with_2(
    call: Call, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert call(*words) == 2
    assert "usage: facekd" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "facekd", "doctor", "none"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("facekd: none does not exist; give a folder")


@pytest.mark.parametrize("words", [
    "faces out model.name=iresnet18 seed=3 --recipe r.yaml",
    "faces out --recipe r.yaml model.name=iresnet18 seed=3",
    "--recipe r.yaml faces out model.name=iresnet18 seed=3",
    "faces out model.name=iresnet18 --recipe r.yaml seed=3",
    "model.name=iresnet18 faces out --recipe=r.yaml seed=3",
])
def test_overrides_are_understood_wherever_they_stand(
    call: Call, given: list[tuple[tuple[Any, ...], dict[str, Any]]], words: str
) -> None:
    assert call("teach", *words.split()) == 0
    assert given == [(("faces", "out", "model.name=iresnet18", "seed=3"), {"recipe": "r.yaml"})]


def planned(call: Call, capsys: pytest.CaptureFixture[str], folder: Path, *options: object) -> list[str]:
    points = [Point(i, i, 0.1, "epoch", f"{i}.safetensors", "0" * 64) for i in range(1, 21)]
    Route(folder / "route", None, points).write()
    assert call("plan", folder / "route", folder / "plan.json", *options) == 0
    return capsys.readouterr().out.splitlines()


def test_plan_says_what_it_chose(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert planned(call, capsys, tmp_path, "--strategy", "mean", "--anchors", 2) == [
        "stage 0: point 9, 19, 100% of the epochs (the mean of 2 points at equal distance along the 20; epoch 10, 20)",
        f"{tmp_path / 'plan.json'}: written; next: facekd distill FACES {tmp_path / 'plan.json'} OUT",
    ]


def test_plan_says_that_a_greedy_plan_grows(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = planned(call, capsys, tmp_path, "--strategy", "greedy", "--anchors", 4, "--delta", 0.7)
    assert lines[0] == "stage 0: point 0, 25% of the epochs (where a greedy walk begins; epoch 1)"
    assert lines[1].startswith("the other stages are chosen while the student is trained")
    assert Plan.read(tmp_path / "plan.json")[0].growth == Growth(0.7, 0.25)


def test_a_recipe_alone_will_do(call: Call, given: list[tuple[tuple[Any, ...], dict[str, Any]]]) -> None:
    assert call("teach", "--recipe", "r.yaml", "seed=3") == 0
    assert given == [(("seed=3",), {"recipe": "r.yaml"})]


def test_a_folder_with_an_equals_sign_is_a_folder(
    call: Call, given: list[tuple[tuple[Any, ...], dict[str, Any]]], tmp_path: Path
) -> None:
    folder = tmp_path / "date=today"
    folder.mkdir()
    assert call("teach", folder, "out", "seed=3") == 0
    assert given == [((str(folder), "out", "seed=3"), {"recipe": None})]


def test_one_place_too_many_is_said(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("teach", "faces", "out", "iresnet18") == 2
    assert capsys.readouterr().err == "facekd: at most FACES OUT and key=value are understood, not iresnet18\n"


def test_an_override_of_a_verb_without_recipe_is_refused(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("pack", "a", "b", "--", "seed=3") == 2
    assert "seed=3" in capsys.readouterr().err


def test_a_place_that_is_missing_is_said(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("teach", "faces") == 2
    assert "'out' is missing" in capsys.readouterr().err


def test_an_error_is_one_message_as_it_is(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "[bold]" + "long " * 60 + "/a/[b].jpg :smile:"

    def fail(*paths: str, **options: Any) -> None:
        raise DataError(message)

    monkeypatch.setattr("facekd.api.prepare.doctor", fail)
    assert call("doctor", "a") == 2
    assert capsys.readouterr().err == f"facekd: {message}\n"


def test_what_is_printed_is_printed_as_it_is(
    call: Call, tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[old] :smile:"
    assert call("pack", fixtures / "folder", out) == 0
    assert capsys.readouterr().out == f"{out}: 32 images of 8 people, 112 px\n"


def test_a_programming_error_is_not_hidden(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.api.prepare.doctor", lambda *paths, **options: 1 // 0)
    monkeypatch.setattr("sys.argv", ["facekd", "doctor", "a"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_control_c_ends_with_130(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*paths: str, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facekd.api.prepare.doctor", stop)
    assert call("doctor", "a") == 130
    assert "the same command continues" in capsys.readouterr().err


def test_the_doctors_exit_code_says_whether_a_set_can_be_used(call: Call, fixtures: Path, tmp_path: Path) -> None:
    assert call("doctor", fixtures / "record", "--json", tmp_path / "d.json") == 0
    assert (tmp_path / "d.json").is_file()
    assert call("doctor", fixtures / "record", fixtures / "folder") == 1


@pytest.mark.parametrize("name", sorted(set(facekd.__all__) - {"__version__"}))
def test_every_verb_is_a_function_too(name: str) -> None:
    assert callable(getattr(facekd, name))


def test_a_function_that_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="facekd has no 'tech'; it has align, bench, classify, clean, compare"):
        _ = facekd.tech
