from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.evaluation.verification.probability import calibrate, probability_of, reliability_points


def calibrated_pairs(pairs: int = 4000) -> tuple[FloatArray, BoolArray, IntArray]:
    """Cosines whose log-odds of one person are 12 cosine - 4, exactly."""
    generator = np.random.default_rng(0)
    scores = generator.uniform(-0.2, 0.9, pairs)
    same = generator.random(pairs) < 1 / (1 + np.exp(-(12 * scores - 4)))
    return scores, same, np.arange(pairs) % 5


def test_the_calibration_finds_the_log_odds_of_the_pairs() -> None:
    scores, same, fold = calibrated_pairs()
    found = calibrate(scores, same, fold)
    assert found is not None
    assert found.slope == pytest.approx(12, rel=0.1)
    prior = np.log(same.sum() / (~same).sum())  # equal priors shift the log-odds of the list by its own
    assert found.intercept == pytest.approx(-4 - prior, abs=0.4)
    assert found.ece < 0.05


def test_the_fit_is_that_of_weighted_logistic_regression() -> None:
    scores, same, fold = calibrated_pairs(400)
    weights = np.where(same, 200 / same.sum(), 200 / (~same).sum())
    model = LogisticRegression(C=1e3, tol=1e-8, max_iter=1000).fit(scores[:, None], same, sample_weight=weights)
    found = calibrate(scores, same, fold)
    assert found is not None
    assert (found.slope, found.intercept) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), rel=1e-3)


def test_pairs_are_judged_by_calibrations_of_other_folds() -> None:
    scores, same, fold = calibrated_pairs(600)
    turned = np.where(fold == 0, ~same, same)  # in fold 0 high cosines are of different people
    wrong, right = calibrate(scores, turned, fold), calibrate(scores, same, fold)
    assert wrong is not None and right is not None
    assert wrong.ece > right.ece + 0.1 and wrong.ece > wrong.ece_limit


def test_the_error_of_a_perfect_calibration_is_below_its_limit() -> None:
    below = []
    for seed in range(15):
        generator = np.random.default_rng(seed)
        same = np.arange(600) % 2 == 0
        scores = generator.normal(np.where(same, 0.6, 0.1), 0.15)  # equal variances: the log-odds are linear
        found = calibrate(scores, same, np.arange(600) % 5, draws=40)
        assert found is not None
        below.append(found.ece < found.ece_limit)
    assert sum(below) >= 12


def test_one_fold_is_divided() -> None:
    scores, same, _ = calibrated_pairs(300)
    found = calibrate(scores, same, np.ones(300, np.int64))
    assert found is not None and found.folds == 5


@pytest.mark.parametrize("kind", ["few", "reversed", "folds of one kind"])
def test_without_a_sensible_fit_there_is_none(kind: str) -> None:
    scores, same, fold = calibrated_pairs(400)
    if kind == "few":
        assert calibrate(scores[:30], same[:30], fold[:30]) is None
    elif kind == "reversed":
        assert calibrate(-scores, same, fold) is None
    else:
        assert calibrate(scores, same, same.astype(np.int64)) is None


def test_a_probability_depends_on_the_prior_and_stays_within_what_the_pairs_support() -> None:
    calibration = {"slope": 10.0, "intercept": -3.0, "pairs": 98}
    assert probability_of(0.3, calibration) == pytest.approx(0.5)
    assert probability_of(0.3, calibration, prior=0.01) == pytest.approx(0.01)
    assert probability_of(0.4, calibration) == pytest.approx(1 / (1 + np.exp(-1)))
    assert probability_of(5, calibration) == pytest.approx(0.99) and probability_of(-5, calibration) == pytest.approx(
        0.01)


def test_the_record_is_json_and_has_a_reliability_diagram() -> None:
    scores, same, fold = calibrated_pairs(400)
    found = calibrate(scores, same, fold)
    assert found is not None
    record = json.loads(json.dumps(found.to_dict()))
    assert (record["method"], record["prior"]) == ("logistic", 0.5)
    points = reliability_points(record)
    assert sum(count for _, _, count in points) == 400
    assert all(0 <= share <= 1 and 0 <= probability <= 1 for probability, share, _ in points)
    assert "50% at 0." in found.describe() and "on 400 such pairs" in found.describe()
