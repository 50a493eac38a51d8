from __future__ import annotations

import math
from pathlib import Path

import pytest

from facekd.deploy.validation_gate import Gate
from facekd.errors import ExportError
from facekd.evaluation.identification.comparison import Difference

FILE = Path("tiny.int8.onnx")


def drop(points: float, low: float, high: float) -> Difference:
    return Difference("accuracy", 0.99, 0.99 - points / 100, (low / 100, high / 100))


def test_a_small_drop_passes() -> None:
    assert Gate(0.3).judge(FILE, drop(0.2, -0.1, 0.5)) is None


@pytest.mark.parametrize("limit", [0.3, 0.7, 1.1])
def test_the_limit_itself_passes(limit: float) -> None:
    assert Gate(limit).judge(FILE, drop(limit, limit, limit)) is None


def test_a_drop_that_may_be_chance_is_warned_of() -> None:
    assert Gate(0.3).judge(FILE, drop(0.5, 0.2, 0.8)) == (
        "tiny.int8.onnx loses 0.50 points of verification accuracy [0.20, 0.80] against the float network, "
        "more than max-drop 0.3 but not clearly so; measure it on more pairs"
    )


def test_a_clear_drop_is_refused() -> None:
    with pytest.raises(ExportError, match=r"it loses 1\.20 points .* \[0\.85, 1\.55\] .*, more than max-drop 0\.3; "):
        Gate(0.3).judge(FILE, drop(1.2, 0.85, 1.55))


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_what_is_no_limit_is_refused(limit: float) -> None:
    with pytest.raises(ExportError, match="give percentage points"):
        Gate(limit)
