from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import RecordedCall

ROOT = Path(__file__).resolve().parents[2]
RESULT = SimpleNamespace(describe=lambda: "the result")
RunCli = Callable[..., int]


@pytest.mark.parametrize(("target", "arguments", "positional", "options"), [
    ("verify.verify", "verify --model m --pairs p.csv --images i --json j --no-flip --device cpu --name n",
     ("m", "p.csv"), {"images": "i", "json": "j", "flip": False, "device": "cpu", "name": "n"}),
    ("ijb.ijb", "ijb --features f.npy --meta d --no-norm-score",
     ("f.npy", "d"), {"model": None, "use_norm_score": False, "use_detector_score": True, "json": None, "name": None}),
    ("identify.identify", "identify --probes p --gallery g --identity-from label",
     ("p", "g"), {"model": None, "identity_from": "label", "across": False, "json": None, "flip": True,
                  "device": "auto", "name": None}),
    ("classify.classify", "cifar --model m --data d --teacher t --classes 5",
     ("m", "d"), {"json": None, "teacher": "t", "split": "test", "classes": 5, "device": "auto", "name": None}),
    ("classify.classify", "imagenet --model m --data d --split train",
     ("m", "d"), {"json": None, "teacher": None, "split": "train", "classes": 0, "device": "auto", "name": None}),
])
def test_an_evaluation_passes_on_its_options_and_prints_its_result(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str], target: str,
    arguments: str, positional: tuple[str, ...], options: dict[str, Any],
) -> None:
    calls = record_calls(f"facekd.api.evaluate.{target}", RESULT)
    assert run_cli("eval", *arguments.split()) == 0
    assert calls == [(positional, {**options})]
    assert capsys.readouterr().out == "the result\n"


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (2, 1)])
def test_the_exit_status_of_all_says_whether_a_set_failed(
    run_cli: RunCli, record_calls: Callable[..., list[RecordedCall]], failed: int, status: int
) -> None:
    table = SimpleNamespace(failed=failed, to_rich=lambda: "a table")
    calls = record_calls("facekd.api.evaluate.evaluate_all.evaluate_all", table)
    assert run_cli("eval", "all", "--model", "m", "--sets", "s", "--json", "j") == status
    assert calls == [(("m", "s"), {"json": "j", "flip": True, "device": "auto", "features": None})]


@pytest.mark.parametrize(("script", "option"), [
    ("verify", "--no-flip"), ("megaface", "--no-flip"), ("cifar", "--teacher"), ("imagenet", "--teacher"),
    ("ijb", "--meta"), ("identify", "--gallery"), ("all", "--sets"),
])
def test_the_scripts_in_eval_take_the_same_options(script: str, option: str) -> None:
    command = [sys.executable, str(ROOT / "eval" / f"{script}.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    assert "--json" in process.stdout
    assert option in process.stdout
