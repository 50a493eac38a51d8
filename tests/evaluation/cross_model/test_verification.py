"""Verification across models, against scikit-learn, brute force and the results of each model alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from facekd.data.pairs.pair_set import PairSet
from facekd.evaluation.cross_model.result import CrossModelResult
from facekd.evaluation.cross_model.verification import mixed_scores, verify_pairs_across_models
from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification.all_impostors import measure_all_impostors
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import pair_scores, verify
from tests.evaluation.toy import unit_rows

PAIRS = 120


def pair_list() -> PairSet:
    """Pairs of 60 people with two images each."""
    rng = np.random.default_rng(0)
    person = rng.integers(0, 60, PAIRS)
    same = np.arange(PAIRS) % 2 == 0
    other = np.where(same, person, (person + rng.integers(1, 60, PAIRS)) % 60)
    images = [Path(f"/none/{index // 2:02d}/{index % 2}.png") for index in range(120)]
    return PairSet(Path("list"), images, 2 * person, 2 * other + 1, same, np.arange(PAIRS) % 5)


def models() -> tuple[FloatArray, FloatArray]:
    """An accurate old model and a noisier new one in the same space."""
    rng = np.random.default_rng(1)
    people = rng.normal(size=(60, 8)).repeat(2, axis=0)
    old = people + 0.6 * rng.normal(size=people.shape)
    new = old + 0.9 * rng.normal(size=people.shape)
    return unit_rows(old).astype(float), unit_rows(new).astype(float)


@pytest.fixture(scope="module")
def measured() -> CrossModelResult[VerificationResult]:
    old, new = models()
    return verify_pairs_across_models(old, new, pair_list(), names=("o", "n"), fars=("1e-1", "1e-2"), resamples=200)


def test_a_mixed_pair_is_scored_in_both_orders() -> None:
    old, new = models()
    pairs = pair_list()
    expected = [new[a] @ old[b] for a, b in zip(pairs.first, pairs.second, strict=True)]
    expected += [new[b] @ old[a] for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert mixed_scores(new, old, pairs) == pytest.approx(np.array(expected))


def test_one_model_alone_gives_the_figures_of_verify(measured: CrossModelResult[VerificationResult]) -> None:
    pairs = pair_list()
    for name, rows in zip(("old/old", "new/new"), models(), strict=True):
        scores = pair_scores(rows, pairs)
        alone = replace(verify(scores, pairs.same, pairs.fold, ("1e-1", "1e-2"), 200),
                        all_impostors=measure_all_impostors(rows, pairs, scores))
        assert measured.results[name].to_dict() == alone.to_dict()


def test_mixed_rates_are_those_of_both_orders_pooled(measured: CrossModelResult[VerificationResult]) -> None:
    old, new = models()
    pairs = pair_list()
    scores, same = mixed_scores(new, old, pairs), np.tile(pairs.same, 2)
    mixed = measured.results["new/old"]
    assert mixed.pairs == PAIRS
    assert mixed.auc == pytest.approx(roc_auc_score(same, scores))
    threshold = np.sort(scores[~same])[::-1][12]  # 120 impostor comparisons: 12 may pass at 1e-1
    assert mixed.tar["1e-1"] == pytest.approx((scores[same] > threshold).mean())


def test_mixed_thresholds_of_all_impostors_are_of_every_new_and_every_old_image_of_two_people(
    measured: CrossModelResult[VerificationResult]
) -> None:
    old, new = models()
    person = np.arange(120) // 2
    scores = np.sort((new @ old.T)[person[:, None] != person])[::-1]
    every = measured.results["new/old"].all_impostors
    assert every is not None and every.impostor_pairs == len(scores) == 120 * 118
    assert every.thresholds["1e-3"] == pytest.approx(scores[len(scores) // 1000])
    pairs = pair_list()
    genuine = mixed_scores(new, old, pairs)[np.tile(pairs.same, 2)]
    assert every.tar["1e-3"] == pytest.approx((genuine > scores[len(scores) // 1000]).mean())


def test_a_far_that_the_pairs_cannot_measure_is_not_measured_by_their_two_orders(
    measured: CrossModelResult[VerificationResult]
) -> None:
    assert [measured.results[name].tar["1e-2"] for name in ("old/old", "new/old")] == [None, None]


def test_the_differences_are_of_the_figures_of_the_table(measured: CrossModelResult[VerificationResult]) -> None:
    for other in ("old/old", "new/new"):
        differences = measured.differences[other]
        assert [difference.metric for difference in differences] == ["accuracy", "TAR at FAR 1e-1", "AUC"]
        for difference in differences:
            values = [measured.results[name].figures()[difference.metric][0] for name in ("new/old", other)]
            assert [difference.first, difference.second] == pytest.approx(values)
            assert difference.interval[0] <= difference.first - difference.second <= difference.interval[1]


def test_one_model_against_itself_differs_by_nothing() -> None:
    old, _ = models()
    result = verify_pairs_across_models(old, old, pair_list(), names=("o", "n"), resamples=20)
    assert all(difference.interval == (0, 0) for difference in result.differences["old/old"])
    assert result.results["new/old"].tar == result.results["old/old"].tar
    assert result.results["new/old"].accuracy == pytest.approx(result.results["old/old"].accuracy)


def test_the_intervals_of_mixed_pairs_are_of_pairs_and_not_of_twice_as_many_independent_scores() -> None:
    old, _ = models()
    result = verify_pairs_across_models(old, old, pair_list(), names=("o", "n"), resamples=200).results
    # Equal models score both orders alike, so the mixed interval is that of the pairs themselves.
    assert result["new/old"].tar_interval["1e-1"] == pytest.approx(result["old/old"].tar_interval["1e-1"], abs=0.05)


def test_a_threshold_of_the_old_model_is_applied_to_the_other_combinations(
    measured: CrossModelResult[VerificationResult]
) -> None:
    old, new = models()
    pairs = pair_list()
    kept = measured.kept_thresholds[1]
    assert (kept.combination, kept.threshold) == ("new/old", measured.results["old/old"].thresholds["1e-1"])
    accepted = mixed_scores(new, old, pairs) > kept.threshold
    same = np.tile(pairs.same, 2)
    assert (kept.false_rate, kept.true_rate) == pytest.approx((accepted[~same].mean(), accepted[same].mean()))


def test_a_converted_gallery_replaces_the_old_rows_in_mixed_pairs_only() -> None:
    old, new = models()
    result = verify_pairs_across_models(old[:, :3], new, pair_list(), names=("o", "n"), gallery=old, resamples=5)
    whole = verify_pairs_across_models(old, new, pair_list(), names=("o", "n"), resamples=5)
    assert result.results["new/old"].to_dict() == whole.results["new/old"].to_dict()
    assert result.results["old/old"].auc != whole.results["old/old"].auc
