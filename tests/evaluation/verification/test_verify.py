from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve  # type: ignore[import-untyped]

from facekd.data.opening import open_pairs
from facekd.data.pairs.pair_set import PairSet
from facekd.errors import DataError
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.evaluation.verification.verify import (
    evaluate_verification,
    extreme_pairs,
    pair_features,
    pair_scores,
    verify,
)
from tests.evaluation.toy import MemoryFaces, PixelEmbedder

Pairs = tuple[FloatArray, BoolArray, IntArray]


def pairs(count: int = 500, decimals: int = 9, seed: int = 0) -> Pairs:
    generator = np.random.default_rng(seed)
    same = generator.random(count) < 0.5
    scores: FloatArray = (generator.normal(0.1, 0.2, count) + 0.3 * same).round(decimals)
    return scores, same, generator.integers(0, 5, count)


@pytest.fixture(params=[9, 1], ids=["distinct scores", "many equal scores"])
def data(request: pytest.FixtureRequest) -> Pairs:
    return pairs(decimals=request.param)


def brute_threshold(scores: FloatArray, same: BoolArray) -> float:
    """Try every midpoint, the highest first, keep the first of the best."""
    levels = np.unique(scores)[::-1]
    candidates = np.array([levels[0], *((levels[1:] + levels[:-1]) / 2), levels[-1] - 1])
    return float(candidates[((scores[:, None] > candidates) == same[:, None]).sum(axis=0).argmax()])


def brute_accuracies(scores: FloatArray, same: BoolArray, fold: IntArray) -> FloatArray:
    result = []
    for name in np.unique(fold):
        held_out = fold == name
        threshold = brute_threshold(scores[~held_out], same[~held_out])
        result.append(((scores[held_out] > threshold) == same[held_out]).mean())
    return np.array(result)


def test_accuracy_equals_brute_force(data: Pairs) -> None:
    expected = brute_accuracies(*data)
    result = verify(*data, resamples=2)
    assert result.accuracy == pytest.approx(expected.mean(), abs=1e-12)
    assert result.accuracy_std == pytest.approx(expected.std(), abs=1e-12)
    assert result.folds == 5


def test_threshold_is_the_best_midpoint(data: Pairs) -> None:
    scores, same, fold = data
    assert verify(scores, same, fold, resamples=2).threshold == pytest.approx(brute_threshold(scores, same), abs=1e-12)


def test_auc_equals_sklearn(data: Pairs) -> None:
    scores, same, fold = data
    assert verify(scores, same, fold, resamples=2).auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


def test_tar_equals_the_best_point_of_sklearns_roc_curve(data: Pairs) -> None:
    scores, same, fold = data
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    result = verify(scores, same, fold, fars=("1e-1", "5e-2", "1e-2"), resamples=2)
    for far, tar in result.tar.items():
        assert tar == pytest.approx(tpr[fpr <= float(far) + 1e-12].max(), abs=1e-12)


def test_eer_is_where_the_error_rates_meet(data: Pairs) -> None:
    scores, same, fold = data
    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    eer = verify(scores, same, fold, resamples=2).eer
    assert 1 - np.interp(eer, fpr, tpr) == pytest.approx(eer, abs=0.004 if len(np.unique(scores)) > 100 else 1e-9)


def test_eer_of_a_hand_made_list() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    same = [1, 1, 1, 0, 1, 0, 0, 0]
    assert verify(scores, same, [0, 1] * 4, resamples=2).eer == pytest.approx(0.25)


def test_roc_runs_from_corner_to_corner() -> None:
    result = verify(*pairs(5000), resamples=2)
    assert (result.fpr[0], result.tpr[0], result.fpr[-1], result.tpr[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(result.fpr) >= 0)
    assert len(result.fpr) <= 1000


def test_separated_scores_are_perfect_with_the_threshold_in_the_gap() -> None:
    result = verify([0.8, 0.9, 0.1, 0.2] * 3, [1, 1, 0, 0] * 3, np.repeat([0, 1, 2], 4), resamples=10)
    assert (result.accuracy, result.auc, result.eer) == (1.0, 1.0, 0.0)
    assert result.threshold == pytest.approx(0.5)
    assert result.accuracy_interval == (1.0, 1.0)


def test_threshold_holds_between_neighbouring_floats() -> None:
    high = float(np.nextafter(0.5, 1))
    result = verify([high, 0.5] * 2, [1, 0] * 2, [0, 0, 1, 1], resamples=2)
    assert result.accuracy == 1.0
    assert 0.5 <= result.threshold < high


def test_held_out_scores_do_not_move_the_threshold() -> None:
    accuracies = []
    for score in (0.49, 0.51):  # the midpoint of fold 0 is 0.5; fold 1 holds a genuine pair on either side of it
        accuracies.append(verify([0.9, 0.1, score], [1, 0, 1], [0, 0, 1], resamples=2).accuracy)
    assert accuracies == [0.5 * (1 + 0), 0.5 * (1 + 1)]


def test_too_few_impostors_give_none_and_a_reason() -> None:
    result = verify(*pairs(300), resamples=2)
    assert result.tar["1e-4"] is None
    assert result.tar_interval["1e-4"] is None
    assert any("FAR 1e-4" in note and "10,000 impostor pairs" in note for note in result.notes)


def test_one_fold_is_noted_and_scored_on_itself() -> None:
    scores, same, _ = pairs(200)
    result = verify(scores, same, np.zeros(200, np.int64), resamples=2)
    assert result.accuracy == ((scores > brute_threshold(scores, same)) == same).mean()
    assert "one fold" in result.notes[0]


def test_folds_of_one_kind_are_noted() -> None:
    scores, same, _ = pairs(200)
    order = np.argsort(same, kind="stable")
    result = verify(scores[order], same[order], np.arange(200) // 20, resamples=2)
    assert result.notes[0].startswith("9 of 10 folds hold pairs of one kind only")


def test_intervals_equal_a_plain_bootstrap() -> None:
    scores, same, fold = pairs(300)
    generator = np.random.default_rng(5)
    strata = [np.flatnonzero((fold == f) & (same == s)) for f in range(5) for s in (False, True)]
    accuracies, tars = [], []
    for _ in range(400):
        drawn = np.concatenate([generator.choice(stratum, len(stratum)) for stratum in strata])
        accuracies.append(brute_accuracies(scores[drawn], same[drawn], fold[drawn]).mean())
        impostors = np.sort(scores[drawn][~same[drawn]])[::-1]
        tars.append((scores[drawn][same[drawn]] > impostors[len(impostors) // 10]).mean())
    result = verify(scores, same, fold, fars=("1e-1",))
    assert result.accuracy_interval == pytest.approx(np.quantile(accuracies, [0.025, 0.975]), abs=0.012)
    assert result.tar_interval["1e-1"] == pytest.approx(np.quantile(tars, [0.025, 0.975]), abs=0.025)


def test_order_of_the_pairs_does_not_matter() -> None:
    scores, same, fold = pairs(400)
    shuffled = np.random.default_rng(2).permutation(400)
    first, second = (verify(a, b, c, resamples=20).to_dict() for a, b, c in
                     ((scores, same, fold), (scores[shuffled], same[shuffled], fold[shuffled])))
    assert first == second


@pytest.mark.parametrize(
    ("scores", "same", "fold", "message"),
    [
        ([0.1, 0.2], [1, 1], [0, 1], "none of the 2 pairs is impostor"),
        ([0.1, 0.2], [0, 0], [0, 1], "none of the 2 pairs is genuine"),
        ([], [], [], "none of the 0 pairs is genuine"),
        ([0.1, float("nan")], [1, 0], [0, 1], "1 of 2 pair scores are not finite"),
        ([0.1, 0.2, 0.3], [1, 0], [0, 1], "a pair needs one of each"),
    ],
)
def test_unusable_pairs_are_refused(scores: list[float], same: list[int], fold: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        verify(scores, same, fold)


def test_extreme_pairs_are_sorted_by_distance() -> None:
    scores = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.45])
    same = np.array([True, True, False, True, False, False])
    correct, wrong = extreme_pairs(scores, same, 0.5, 3)
    assert correct.tolist() == [0, 2, 1]
    assert wrong.tolist() == [4, 3]


def memory_pairs(faces: MemoryFaces) -> PairSet:
    """Two images of each of 8 people: the first 8 pairs are genuine, the other 8 are of two people."""
    first = np.arange(16)
    second: IntArray = np.arange(16)[::2].repeat(2) + np.array([1, 0] * 8)
    second[8:] = np.roll(second[8:], 2)
    return PairSet(Path("pairs"), [faces.read(i) for i in range(16)], first, second,
                   faces.labels[first] == faces.labels[second], np.arange(16) % 2)


def test_verification_scores_follow_the_order_of_the_list() -> None:
    faces = MemoryFaces(8, 2, seed=0)
    pairs = memory_pairs(faces)
    result, scores = evaluate_verification(PixelEmbedder(), pairs)
    embeddings = PixelEmbedder().embed(faces.crops[..., ::-1])
    assert scores == pytest.approx((embeddings[pairs.first] * embeddings[pairs.second]).sum(axis=1), abs=1e-6)
    assert result.accuracy == 1.0


def test_features_are_those_of_the_distinct_images() -> None:
    faces = MemoryFaces(8, 2, seed=0)
    features = pair_features(PixelEmbedder(), memory_pairs(faces), flip=False)
    assert features.dtype == np.float64
    assert features == pytest.approx(PixelEmbedder().embed(faces.crops[..., ::-1], flip=False), abs=1e-6)


def test_pair_scores_are_dot_products() -> None:
    pairs = memory_pairs(MemoryFaces(8, 2, seed=0))
    features = np.random.default_rng(0).normal(size=(16, 5))
    expected = [features[a] @ features[b] for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert pair_scores(features, pairs) == pytest.approx(expected)


def test_an_image_that_does_not_decode_is_named() -> None:
    faces = MemoryFaces(8, 2, seed=0)
    pairs = memory_pairs(faces)
    broken = PairSet(pairs.source, [*pairs.images[:-1], b"no image"], pairs.first, pairs.second, pairs.same, pairs.fold)
    with pytest.raises(DataError, match="pairs, pair 9, second image does not decode"):
        evaluate_verification(PixelEmbedder(), broken)


def test_pixels_on_real_frontal_faces_are_in_the_known_range(shared: Path) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / "pairs_ff.csv", shared / "faces" / "cfp")
    result, scores = evaluate_verification(PixelEmbedder(), pairs)
    assert result.pairs == len(scores) == len(pairs)
    assert 0.58 < result.accuracy < 0.8
    assert result.accuracy_interval[0] < result.accuracy < result.accuracy_interval[1]


def test_scores_of_one_pair_are_resampled_together_and_measure_no_further_fars() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(200) % 2 == 0
    scores = rng.normal(size=200) + 2 * same
    fold = np.arange(200) // 50
    alone = verify(scores, same, fold, ("1e-1", "1e-2", "8e-3"), 100)
    twice = verify(np.tile(scores, 2), np.tile(same, 2), np.tile(fold, 2), ("1e-1", "1e-2", "8e-3"), 100,
                   pair=np.tile(np.arange(200), 2))
    assert (twice.pairs, twice.tar["8e-3"]) == (200, None)
    assert twice.tar == alone.tar
    assert (twice.auc, twice.accuracy) == pytest.approx((alone.auc, alone.accuracy))
    width, expected = (float(np.ptp(result.tar_interval["1e-1"] or ())) for result in (twice, alone))
    assert width == pytest.approx(expected, rel=0.25)
