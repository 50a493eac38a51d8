from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from facekd.models.registry import create


def test_the_arguments_are_passed_on_and_the_next_command_is_shown(
    run_cli: Callable[..., int], record_calls: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.prune.prune_teacher", create("graph", size=32, outputs=8))
    assert run_cli("prune", "teacher.onnx", "crops", "half.safetensors", "--share", "0.4", "--images", "99") == 0
    assert calls == [(("teacher.onnx", "crops", "half.safetensors", 0.4), {"images": 99, "seed": 0})]
    assert "next: facekd distill DATASET PLAN OUT student.weights=half.safetensors" in " ".join(
        capsys.readouterr().out.split())
