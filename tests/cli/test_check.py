from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import RecordedCall


@pytest.mark.parametrize("holds", [True, False])
def test_the_exit_status_says_whether_the_thresholds_hold(
    run_cli: Callable[..., int], record_calls: Callable[..., list[RecordedCall]], capsys: pytest.CaptureFixture[str],
    holds: bool,
) -> None:
    calls = record_calls("facekd.api.deploy.check.check", SimpleNamespace(describe=lambda: "the result", holds=holds))
    assert run_cli("check", "package", "images", "--json", "j", "--pixels", "raw") == (0 if holds else 1)
    options = {"labels": None, "root": None, "json": "j", "device": "auto", "pixels": "raw"}
    assert calls == [(("package", "images"), options)]
    assert capsys.readouterr().out == "the result\n"
