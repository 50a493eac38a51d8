from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.statistics.far import allowed, measurable


@pytest.mark.parametrize(
    ("far", "impostors", "expected"),
    [("1e-4", 10_000, 1), ("1e-4", 9_999, 0), ("0.29", 100, 29), ("1e-6", 3_530_000_000, 3530), ("1e-1", 39, 3)],
)
def test_allowed_is_exact(far: str, impostors: int, expected: int) -> None:
    assert allowed(far, impostors) == expected


def test_allowed_takes_arrays() -> None:
    assert allowed("1e-2", np.array([99, 100, 250])).tolist() == [0, 1, 2]


def test_measurable_says_how_many_pairs_are_missing() -> None:
    usable, notes = measurable(("1e-2", "1e-4"), 700)
    assert usable == ["1e-2"]
    assert notes == [
        "TAR at FAR 1e-4 is not given: 700 impostor pairs allow less than one false accept there; "
        "at least 10,000 impostor pairs are needed"
    ]
