from __future__ import annotations

import json

import numpy as np
import pytest

from facekd.evaluation.agreement.pairs import choose_pairs
from facekd.evaluation.drift.rates import check_rates

IMAGES = 200
PAIRS = choose_pairs(IMAGES, 10**6)
COSINES = np.random.default_rng(0).normal(0, 0.1, len(PAIRS))


def threshold_at(rate: float) -> float:
    return float(np.quantile(COSINES, 1 - rate))


@pytest.mark.parametrize(("stated", "actual", "verdict"), [
    ("1e-2", 0.01, "holds"), ("1e-2", 0.016, "holds"), ("1e-2", 0.05, "accepts more"), ("1e-2", 0.002, "accepts fewer"),
    ("1e-4", 0.01, "too few images"),
])
def test_a_rate_is_judged_with_a_factor_of_two(stated: str, actual: float, verdict: str) -> None:
    (found,) = check_rates({stated: threshold_at(actual)}, COSINES, PAIRS, IMAGES)
    assert found.verdict == verdict
    assert found.rate == pytest.approx(actual, rel=0.02)
    assert found.interval[0] <= found.rate <= found.interval[1]


def test_the_new_threshold_has_the_stated_rate() -> None:
    (found,) = check_rates({"1e-2": threshold_at(0.05)}, COSINES, PAIRS, IMAGES)
    assert found.new_threshold == pytest.approx(threshold_at(0.01), abs=1e-3)
    assert f"here {found.new_threshold:.3f} has that rate" in found.describe()


def test_pairs_of_one_person_are_left_out() -> None:
    people = np.arange(IMAGES) // 4
    cosines = np.where(people[PAIRS.first] == people[PAIRS.second], 0.9, COSINES)
    (labeled,) = check_rates({"1e-2": threshold_at(0.01)}, cosines, PAIRS, IMAGES, people)
    (unlabeled,) = check_rates({"1e-2": threshold_at(0.01)}, cosines, PAIRS, IMAGES)
    assert labeled.verdict == "holds" and labeled.rate == pytest.approx(0.01, rel=0.1)
    assert unlabeled.rate == pytest.approx(0.01 + 300 / len(PAIRS), rel=0.1)


def test_an_interval_knows_that_pairs_share_images() -> None:
    """One image that resembles everybody makes the rate uncertain, however many pairs there are."""
    cosines = COSINES.copy()
    cosines[PAIRS.first == 0] = 0.9
    (found,) = check_rates({"1e-2": 0.5}, cosines, PAIRS, IMAGES)
    assert found.accepted == IMAGES - 1 and found.interval[0] == 0
    assert found.interval[1] > 2 * found.rate


def test_without_an_accepted_pair_the_interval_has_an_upper_end() -> None:
    (found,) = check_rates({"1e-2": 2.0}, COSINES, PAIRS, IMAGES)
    assert found.interval == (0, 3 / len(PAIRS)) and found.verdict == "accepts fewer"


def test_the_record_is_json_and_one_person_gives_nothing() -> None:
    (found,) = check_rates({"1e-2": 0.2}, COSINES, PAIRS, IMAGES)
    assert json.loads(json.dumps(found.to_dict()))["far"] == "1e-2"
    assert check_rates({"1e-2": 0.2}, COSINES, PAIRS, IMAGES, np.zeros(IMAGES, np.int64)) == []
    assert check_rates({}, COSINES, PAIRS, IMAGES) == []
