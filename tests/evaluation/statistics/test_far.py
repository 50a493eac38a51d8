from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facekd.errors import DataError
from facekd.evaluation.statistics.far import (
    allowed_false_accepts,
    format_percent,
    format_tars,
    measurable_fars,
    parse_far,
    weighted_tar,
)


@pytest.mark.parametrize(
    ("far", "impostors", "expected"),
    [("1e-4", 10_000, 1), ("1e-4", 9_999, 0), ("0.29", 100, 29), ("1e-6", 3_530_000_000, 3530), ("1e-1", 39, 3)],
)
def test_allowed_is_exact(far: str, impostors: int, expected: int) -> None:
    assert allowed_false_accepts(far, impostors) == expected


def test_allowed_takes_arrays() -> None:
    assert allowed_false_accepts("1e-2", np.array([99, 100, 250])).tolist() == [0, 1, 2]


def test_measurable_says_how_many_pairs_are_missing() -> None:
    usable, notes = measurable_fars(("1e-2", "1e-4"), 700)
    assert usable == ["1e-2"]
    assert notes == [
        "TAR at FAR 1e-4 is not given: 700 impostor pairs allow less than one false accept there; "
        "at least 10,000 impostor pairs are needed"
    ]


def tar_by_definition(genuine: list[float], impostors: list[float], limit: int) -> float:
    """The best share over every possible threshold, one item after the other."""
    best = 0.0
    for threshold in [-np.inf, *genuine, *impostors]:
        if sum(score > threshold for score in impostors) <= limit:
            best = max(best, sum(score > threshold for score in genuine) / len(genuine))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_weights_are_items_that_occur_several_times(seed: int) -> None:
    generator = np.random.default_rng(seed)
    genuine, impostors = (np.sort(generator.integers(0, 12, size) / 4)[::-1] for size in (9, 14))
    genuine_weights = generator.integers(0, 4, 9) + (np.arange(9) == 0)
    impostor_weights = generator.integers(0, 4, 14)
    limits = np.arange(8)
    rates = weighted_tar(genuine, genuine_weights, impostors, impostor_weights, limits)
    repeated = np.repeat(genuine, genuine_weights).tolist(), np.repeat(impostors, impostor_weights).tolist()
    expected = [tar_by_definition(*repeated, limit) for limit in limits.tolist()]
    np.testing.assert_allclose(rates, expected)


def test_items_at_minus_infinity_are_never_accepted() -> None:
    rates = weighted_tar(np.array([1.0, -np.inf]), np.array([1, 1]), np.array([0.5]), np.array([1]), np.array([5]))
    assert rates.tolist() == [0.5]


def test_percent_with_and_without_an_interval() -> None:
    assert format_percent(0.963, (0.95706, 0.9685)) == "96.30 % [95.71, 96.85]"
    assert format_percent(0.5, None) == "50.00 %"


def test_only_measured_tars_are_formatted() -> None:
    lines = format_tars({"1e-2": 0.9, "1e-6": None}, {"1e-2": (0.8, 1.0), "1e-6": None})
    assert lines == ["TAR 90.00 % [80.00, 100.00] at FAR 1e-2"]


def test_the_thresholds_stand_beside_their_rates() -> None:
    lines = format_tars({"1e-2": 0.9, "1e-3": 0.5}, {"1e-2": None, "1e-3": None}, {"1e-2": 0.25, "1e-3": None})
    assert lines == ["TAR 90.00 % at FAR 1e-2, threshold 0.250", "TAR 50.00 % at FAR 1e-3"]


@pytest.mark.parametrize(("text", "rate"), [
    ("1e-4", Fraction(1, 10_000)), ("0.0001", Fraction(1, 10_000)), ("1", Fraction(1)), ("5E-3", Fraction(1, 200)),
])
def test_a_rate_is_exact(text: str, rate: Fraction) -> None:
    assert parse_far(text) == rate


@pytest.mark.parametrize("text", [
    "nan", "inf", "-1", "-1e-3", "0", "0.0", "2", "1e1", "", " 1e-4", "x", "1/3", "1e-9999999", "9" * 40, "1e-4\n",
    "0." + "1" * 40, "\u0661e-4",
])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"is no false accept rate; give a number above 0 and up to 1, e\.g\. 1e-4"):
        parse_far(text)


def test_no_protocol_measures_at_a_rate_that_is_none() -> None:
    with pytest.raises(DataError, match="'nan' is no false accept rate"):
        measurable_fars(("1e-2", "nan"), 1000)
