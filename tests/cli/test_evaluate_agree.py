from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall

DEFAULTS = {"threshold": None, "fars": ("1e-3", "1e-4"), "result": None, "pairs": 500_000, "labels": None, "root": None,
            "json": None, "sheet": None,
            "flip": True, "device": "auto", "name": None}


@pytest.mark.parametrize(("words", "options"), [
    ("", {"teacher_options": {}}),
    ("--far 1e-2 1e-3 --pairs 9 --sheet s.jpg --no-flip --pixels raw --teacher-input size=112 pixels=unit",
     {"fars": ["1e-2", "1e-3"], "pairs": 9, "sheet": "s.jpg", "flip": False, "pixels": "raw",
      "teacher_options": {"size": 112, "pixels": "unit"}}),
])
def test_agree_passes_on_its_options_and_prints_its_result(
    run_cli: Callable[..., int], record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str],
    words: str, options: dict[str, object],
) -> None:
    calls = record_calls("facekd.api.evaluate.agree.agree", SimpleNamespace(describe=lambda: "the result"))
    assert run_cli("eval", "agree", "student", "teacher", "images", *words.split()) == 0
    assert calls == [(("student", "teacher", "images"), {**DEFAULTS, **options})]
    assert capsys.readouterr().out == "the result\n"
