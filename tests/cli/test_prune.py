from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from facekd.models.registry import create


@pytest.mark.parametrize(("arguments", "shares"), [
    (["--share", "0.4"], {"share": 0.4}), ([], {"share": 0.5}), (["--weight-share", "0.3"], {"weight_share": 0.3}),
    (["--share", "0.4", "--weight-share", "0.3"], {"share": 0.4, "weight_share": 0.3}),
])
def test_the_arguments_are_passed_on_and_the_next_command_is_shown(
    run_cli: Callable[..., int], record_calls: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str],
    arguments: list[str], shares: dict[str, float]
) -> None:
    calls = record_calls("facekd.api.prune.prune_teacher", create("graph", size=32, outputs=8))
    assert run_cli("prune", "teacher.onnx", "crops", "half.safetensors", "--images", "99", *arguments) == 0
    assert calls == [(("teacher.onnx", "crops", "half.safetensors"), {"images": 99, "seed": 0, **shares})]
    assert "next: facekd distill DATASET PLAN OUT student.weights=half.safetensors" in " ".join(
        capsys.readouterr().out.split())
