from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

RESULT = SimpleNamespace(answer="Ship out/package/student.int8.onnx.", report=Path("out/report.html"),
                         meets_budget=True)
DEFAULTS = {"budget": None, "macs": None, "latency": None, "epochs": None, "minutes": None, "detector": None,
            "aligned": None, "pairs": None, "images": None, "device": "auto", "seed": 0}


@pytest.mark.parametrize(("arguments", "changed"), [
    ([], {}), (["--budget", "600kB", "--minutes", "30"], {"budget": "600kB", "minutes": 30.0}),
    (["--aligned"], {"aligned": True}), (["--photographs", "--pixels", "raw"], {"aligned": False, "pixels": "raw"}),
])
def test_the_arguments_are_passed_on_and_the_answer_is_printed(
    run_cli: Callable[..., int], record_calls: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str],
    arguments: list[str], changed: dict[str, Any]
) -> None:
    calls = record_calls("facekd.api.compress.compress.compress", RESULT)
    assert run_cli("compress", "teacher.onnx", "photos", "more", "out", *arguments) == 0
    assert calls == [(("teacher.onnx", ["photos", "more"], "out"), {**DEFAULTS, **changed})]
    assert capsys.readouterr().out.split("\n")[:2] == [RESULT.answer, "report: out/report.html"]


def test_a_missed_budget_is_the_answer_no(run_cli: Callable[..., int], record_calls: Callable[..., list[Any]]) -> None:
    record_calls("facekd.api.compress.compress.compress", SimpleNamespace(**{**vars(RESULT), "meets_budget": False}))
    assert run_cli("compress", "teacher.onnx", "photos", "out", "--latency", "1ms") == 1
