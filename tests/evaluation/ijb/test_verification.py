from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve  # type: ignore[import-untyped]

from facekd.data.feature_set import ArrayFeatures
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT, TemplatePairs
from facekd.errors import DataError
from facekd.evaluation.ijb.pooling import template_pair_scores
from facekd.evaluation.ijb.verification import RankedTemplatePairs, verify_templates
from facekd.evaluation.types import Float32Array, FloatArray, IntArray
from facekd.evaluation.verification.verify import verify
from tests.evaluation.toy import unit_rows

FARS = ("1e-3", "1e-2", "1e-1")


def random_pairs(seed: int = 0, people: int = 40, count: int = 6000) -> tuple[Float32Array, IntArray, TemplatePairs]:
    """Templates of people, four each, in clusters, and pairs of them in no order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(people), 4))
    rows = generator.normal(size=(people, 16))[labels] + 1.2 * generator.normal(size=(len(labels), 16))
    first = generator.integers(0, len(labels), count).astype(np.int32)
    second = generator.integers(0, len(labels), count).astype(np.int32)
    first, second = first[first != second], second[first != second]
    return unit_rows(rows), labels, TemplatePairs(Path("pairs.txt"), first, second, labels[first] == labels[second])


def float64_scores(rows: Float32Array, pairs: TemplatePairs) -> FloatArray:
    wide = rows.astype(np.float64)
    return np.asarray((wide[pairs.first] * wide[pairs.second]).sum(axis=1))


def test_tar_is_the_highest_point_of_the_roc_curve_that_the_far_allows() -> None:
    rows, labels, pairs = random_pairs()
    result = verify_templates(ArrayFeatures(rows, labels=labels), pairs, FARS, resamples=2)
    far, tar, _ = roc_curve(pairs.same, float64_scores(rows, pairs), drop_intermediate=False)
    for rate, value in result.tar.items():
        assert value == pytest.approx(tar[far <= float(rate)].max(), abs=1e-12)


def test_tar_agrees_with_the_verification_of_pair_lists() -> None:
    rows, labels, pairs = random_pairs(1)
    result = verify_templates(ArrayFeatures(rows, labels=labels), pairs, FARS, resamples=2)
    other = verify(float64_scores(rows, pairs), pairs.same, np.zeros(len(pairs.same)), FARS, resamples=2)
    assert result.tar == pytest.approx(other.tar)


def test_an_impostor_at_a_genuine_score_is_accepted_with_it() -> None:
    rows = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    pairs = TemplatePairs(Path("p"), np.array([0, 0, 0], np.int32), np.array([1, 2, 3], np.int32),
                          np.array([True, False, False]))
    result = verify_templates(ArrayFeatures(rows, labels=np.array([0, 0, 1, 2])), pairs, ("0.5",), resamples=2)
    assert result.tar == {"0.5": 1.0}
    one_impostor = TemplatePairs(Path("p"), pairs.first[[0, 1]], pairs.second[[0, 1]], pairs.same[[0, 1]])
    assert verify_templates(ArrayFeatures(rows), one_impostor, ("0.9",), resamples=2).tar == {"0.9": None}


def test_the_threshold_gives_the_rates() -> None:
    rows, labels, pairs = random_pairs(2)
    result = verify_templates(ArrayFeatures(rows, labels=labels), pairs, FARS, resamples=2)
    scores = template_pair_scores(rows, pairs.first, pairs.second)
    for far in FARS:
        threshold = result.thresholds[far]
        assert threshold is not None
        accepted = scores > threshold
        assert accepted[pairs.same].mean() == result.tar[far]
        assert accepted[~pairs.same].sum() == int(float(far) * result.impostors)


def test_a_resample_is_the_tar_of_pairs_that_occur_several_times() -> None:
    rows, labels, pairs = random_pairs(3, people=12, count=800)
    weights = np.random.default_rng(0).integers(0, 4, 12).astype(np.int32)
    scores = template_pair_scores(rows, pairs.first, pairs.second)
    times = np.where(pairs.same, weights[labels[pairs.first]],
                     weights[labels[pairs.first]] * weights[labels[pairs.second]])
    one_fold = np.zeros(times.sum())
    repeated = verify(np.repeat(scores, times), np.repeat(pairs.same, times), one_fold, FARS[1:], resamples=2)
    rates = RankedTemplatePairs(scores, pairs, labels, 1000).tar(weights, FARS[1:])
    assert rates.tolist() == pytest.approx([repeated.tar[far] for far in FARS[1:]])


def test_impostors_far_down_hardly_matter_for_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, pairs = random_pairs(4, people=100, count=20000)
    features = ArrayFeatures(rows, labels=labels)
    all_impostors = verify_templates(features, pairs, FARS[:2], resamples=200)
    monkeypatch.setattr("facekd.evaluation.ijb.verification.MIN_IMPOSTORS", 1)
    highest_impostors = verify_templates(features, pairs, FARS[:2], resamples=200)
    assert highest_impostors.tar == all_impostors.tar
    for far in FARS[:2]:
        assert highest_impostors.tar_interval[far] == pytest.approx(all_impostors.tar_interval[far], abs=0.01)


def test_people_are_joined_by_genuine_pairs_where_their_names_are_unknown() -> None:
    rows, labels, pairs = random_pairs(5, people=20, count=8000)
    known = verify_templates(ArrayFeatures(rows, labels=labels), pairs, FARS, resamples=300)
    unknown = np.full(len(rows), UNKNOWN_SUBJECT)
    guessed = verify_templates(ArrayFeatures(rows, labels=unknown), pairs, FARS, resamples=300)
    assert known.identities == guessed.identities == 20
    assert not known.notes
    assert "joined by genuine pairs" in guessed.notes[0]
    for far in FARS:
        assert guessed.tar_interval[far] == pytest.approx(known.tar_interval[far], abs=0.04)


def test_the_interval_covers_the_rate_of_all_people_in_19_of_20_samples() -> None:
    many, labels, pairs = random_pairs(9, 400, 300_000)
    truth = verify_templates(ArrayFeatures(many, labels=labels), pairs, ("1e-2",), resamples=1).tar["1e-2"]
    covered = 0
    for seed in range(60):
        rows, labels, pairs = random_pairs(100 + seed, 40, 4000)
        result = verify_templates(ArrayFeatures(rows, labels=labels), pairs, ("1e-2",), resamples=200)
        ends = result.tar_interval["1e-2"]
        assert ends is not None and truth is not None
        covered += ends[0] <= truth <= ends[1]
    assert covered >= 50


def test_labels_that_contradict_the_pairs_are_counted() -> None:
    rows, labels, pairs = random_pairs()
    wrong = TemplatePairs(pairs.source, pairs.first, pairs.second, pairs.same ^ (np.arange(len(pairs.same)) < 3))
    notes = verify_templates(ArrayFeatures(rows, labels=labels), wrong, ("1e-1",), resamples=2).notes
    assert notes[0].startswith("3 pairs are called genuine with two subjects")


def test_rates_that_cannot_be_measured_are_noted() -> None:
    rows, labels, pairs = random_pairs()
    result = verify_templates(ArrayFeatures(rows, labels=labels), pairs, ("1e-6", "1e-1"), resamples=2)
    assert result.tar["1e-6"] is None
    assert "1e-6" in result.notes[0]
    assert json.loads(json.dumps(result.to_dict()))["tar_interval"]["1e-6"] is None
    assert "at FAR 1e-1" in result.describe()


def test_one_kind_of_pairs_is_refused() -> None:
    rows, labels, pairs = random_pairs()
    genuine_only = TemplatePairs(pairs.source, pairs.first, pairs.second, np.ones(len(pairs.same), bool))
    with pytest.raises(DataError, match=r"pairs\.txt holds \d+ genuine and 0 impostor"):
        verify_templates(ArrayFeatures(rows, labels=labels), genuine_only)
