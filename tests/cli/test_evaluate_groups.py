from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall


def test_groups_passes_on_its_options_and_prints_its_result(
    run_cli: Callable[..., int], record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.evaluate.groups.groups", SimpleNamespace(describe=lambda: "the result"))
    words = ["--model", "m", "--pairs", "p", "--images", "i", "--groups", "g", "--far", "1e-4", "--json", "j"]
    assert run_cli("eval", "groups", *words) == 0
    assert calls == [(("m", "p"), {
        "images": "i", "group_file": "g", "far": "1e-4", "threshold": None, "result": None, "json": "j", "flip": True,
        "device": "auto", "name": None})]
    assert capsys.readouterr().out == "the result\n"
