"""Bad input on the command line: one clear sentence, exit code 2, and nothing is lost or run."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.route.plan import Plan, PlanStage
from facekd.route.route import Point, Route

RunCli = Callable[..., int]


class RunsCommand:
    """Its pickle runs a command when it is loaded without protection."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def missing_folder(folder: Path, fixtures: Path) -> list[object]:
    return ["pack", folder / "none", folder / "out"]


def empty_folder(folder: Path, fixtures: Path) -> list[object]:
    (folder / "empty").mkdir()
    return ["pack", folder / "empty", folder / "out"]


def empty_set(folder: Path, fixtures: Path) -> list[object]:
    (folder / "empty").mkdir()
    return ["doctor", folder / "empty"]


def truncated_record(folder: Path, fixtures: Path) -> list[object]:
    shutil.copytree(fixtures / "record", folder / "cut")
    with (folder / "cut" / "train.rec").open("rb+") as handle:
        handle.truncate(handle.seek(0, os.SEEK_END) // 2)
    return ["doctor", folder / "cut"]


def index_past_the_end(folder: Path, fixtures: Path) -> list[object]:
    shutil.copytree(fixtures / "record", folder / "past")
    index = folder / "past" / "train.idx"
    index.write_text(re.sub(r"^5\t\d+$", "5\t99999999", index.read_text(), flags=re.MULTILINE))
    return ["doctor", folder / "past"]


def broken_jpeg(folder: Path, fixtures: Path) -> list[object]:
    shutil.copytree(fixtures / "folder", folder / "faces")
    (folder / "faces" / "id_00003" / "0002.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return ["embed", folder / "faces", folder / "out.npy", "--model", folder / "tiny.safetensors"]


def calling_pickle(folder: Path, fixtures: Path) -> list[object]:
    (folder / "evil.bin").write_bytes(pickle.dumps(([RunsCommand()], [True]), 2))
    return ["eval", "verify", "--model", folder / "tiny.safetensors", "--pairs", folder / "evil.bin"]


def foreign_weights(folder: Path, fixtures: Path) -> list[object]:
    (folder / "foreign.pt").write_bytes(b"weights")
    return ["embed", fixtures / "folder", folder / "out.npy", "--model", folder / "foreign.pt"]


def plan_of_a_missing_point(folder: Path, fixtures: Path) -> list[object]:
    Route(folder / "route", None, [Point(1, 1, 0.1, "last", "1.safetensors", "0" * 64)]).write()
    Plan(folder / "route", "manual", [PlanStage((3,), "by hand", 1.0)]).write(folder / "plan.json")
    return ["distill", fixtures / "folder", folder / "plan.json", folder / "out"]


def route_without_plateaus(folder: Path, fixtures: Path) -> list[object]:
    Route(folder / "route", None, [Point(1, 1, 0.1, "last", "1.safetensors", "0" * 64)]).write()
    return ["plan", folder / "route", folder / "plan.json", "--strategy", "plateau"]


@pytest.mark.parametrize(("prepare", "text"), [
    (missing_folder, "none does not exist; give"),
    (empty_folder, "empty holds no subfolder with images"),
    (empty_set, "empty holds no subfolder with images"),
    (truncated_record, "train.rec is damaged or cut short"),
    (index_past_the_end, "record 5 (byte 99999999): the file ends inside or before it"),
    (broken_jpeg, "id_00003/0002.jpg does not decode as an image; remove it or replace it"),
    (calling_pickle, "mkdir"),
    (foreign_weights, "foreign.pt is no model; give"),
    (plan_of_a_missing_point, "plan.json names points 3, the route"),
    (route_without_plateaus, "has no plateaus: its teacher was not trained with training.lr_schedule=step"),
])
def test_bad_input_is_one_clear_sentence_and_loses_nothing(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], tmp_path: Path, fixtures: Path,
    monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path, Path], list[object]], text: str,
) -> None:
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), tmp_path / "tiny.safetensors")
    monkeypatch.chdir(tmp_path)
    arguments = prepare(tmp_path, fixtures)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run_cli(*arguments) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("facekd: ")
    assert text in message
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "ran").exists()


def test_a_recipe_with_three_mistakes_lists_three(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("train", "faces", "out", "sede=1", "head.scale=0", "training.batch_size=x") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "facekd: 3 problems in the command line:"
    assert len(lines) == 4
