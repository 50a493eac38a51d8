"""The entry point: help, arguments in any order, and errors as one message."""

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
from tests.cli.conftest import RecordedCall

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["doctor", "clean", "pack", "align", "train", "plan", "route import", "distill", "search", "prune",
            "methods", "methods show", "eval verify", "eval megaface", "eval ijb", "eval identify", "eval all",
            "eval cifar", "eval imagenet", "export", "bench", "report", "embed", "compare", "demo"]
RunCli = Callable[..., int]


@pytest.fixture
def train_calls(record_calls: Callable[..., list[RecordedCall]]) -> list[RecordedCall]:
    """The calls of ``train``, which does not train."""
    return record_calls("facekd.api.train.train")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run_cli(*command.split(), "--help") == 0
    assert re.search(rf"examples:\n  facekd {command}\b", capsys.readouterr().out)


def test_the_help_names_every_command(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("--help") == 0
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if not re.search(rf"^ +{name.split()[0]} ", text, re.MULTILINE)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_knows_its_name_and_its_function(command: str) -> None:
    actions = [cli.make_parser()]
    for word in command.split():
        (subparsers,) = (action for action in actions[-1]._actions if hasattr(action, "add_parser"))
        actions.append(subparsers.choices[word])  # type: ignore[index]
    assert actions[-1].get_default("command") == command
    assert callable(actions[-1].get_default("run"))


def test_only_known_commands_are_distributed() -> None:
    assert set(COMMANDS) > cli.DISTRIBUTED_COMMANDS


@pytest.mark.parametrize("arguments", [
    (), ("tech",), ("eval",), ("route",), ("eval", "verfy"), ("embed", "a", "b.npy"), ("doctor", "a", "--unknown"),
    ("doctor", "a", "--json"),
])
def test_arguments_that_are_no_command_end_with_2(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run_cli(*arguments) == 2
    assert "usage: facekd" in capsys.readouterr().err


def test_the_module_is_the_command() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "facekd", "doctor", "none"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("facekd: none does not exist; give a folder")


def test_the_help_imports_no_torch() -> None:
    code = "import sys\nfrom facekd.cli.main import make_parser\nmake_parser()\nsys.exit('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [
    "faces out model.name=iresnet18 seed=3 --recipe r.yaml",
    "faces out --recipe r.yaml model.name=iresnet18 seed=3",
    "--recipe r.yaml faces out model.name=iresnet18 seed=3",
    "faces out model.name=iresnet18 --recipe r.yaml seed=3",
    "model.name=iresnet18 faces out --recipe=r.yaml seed=3",
])
def test_overrides_are_understood_in_any_position(
    run_cli: RunCli, train_calls: list[RecordedCall], arguments: str
) -> None:
    assert run_cli("train", *arguments.split()) == 0
    assert train_calls == [(("faces", "out", "model.name=iresnet18", "seed=3"), {"recipe": "r.yaml"})]


def test_an_override_of_a_command_without_recipe_is_refused(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("pack", "a", "b", "--", "seed=3") == 2
    assert "seed=3" in capsys.readouterr().err


def test_an_error_is_one_message_as_it_is(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "[bold]" + "long " * 60 + "/a/[b].jpg :smile:"

    def fail(*paths: str, **options: Any) -> None:
        raise DataError(message)

    monkeypatch.setattr("facekd.api.data.doctor.doctor", fail)
    assert run_cli("doctor", "a") == 2
    assert capsys.readouterr().err == f"facekd: {message}\n"


def test_control_c_ends_with_130(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*paths: str, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("facekd.api.data.doctor.doctor", stop)
    assert run_cli("doctor", "a") == 130
    assert "the same command continues" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(facekd.__all__) - {"__version__"}))
def test_every_command_is_a_function_too(name: str) -> None:
    assert callable(getattr(facekd, name))
    assert re.search(rf"\b{name}\b[^:\n]*: ", str(facekd.__doc__))


def test_a_function_that_does_not_exist_is_named() -> None:
    with pytest.raises(AttributeError, match="facekd has no 'trains': did you mean 'train'"):
        _ = facekd.trains
