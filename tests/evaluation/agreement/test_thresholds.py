from __future__ import annotations

import numpy as np

from facekd.evaluation.agreement.pairs import choose_pairs
from facekd.evaluation.agreement.thresholds import ALL_DIFFERENT, thresholds_of_images


def test_a_threshold_accepts_the_rate_of_all_pairs() -> None:
    pairs = choose_pairs(30, 1000)
    similarity = np.random.default_rng(0).normal(size=len(pairs))
    (found,), notes = thresholds_of_images(similarity, pairs, None, ["1e-1"])
    assert (similarity > found.value).sum() == len(pairs) // 10
    assert (found.far, notes) == ("1e-1", [ALL_DIFFERENT])
    assert "taken as different people" in found.source


def test_with_labels_only_pairs_of_different_people_count() -> None:
    pairs = choose_pairs(30, 1000)
    people = np.arange(30) // 3
    similarity = np.random.default_rng(0).normal(size=len(pairs))
    strangers = people[pairs.first] != people[pairs.second]
    similarity[~strangers] += 10
    (found,), notes = thresholds_of_images(similarity, pairs, people, ["1e-1"])
    assert (similarity[strangers] > found.value).sum() == strangers.sum() // 10
    assert notes == []


def test_a_rate_that_the_pairs_cannot_measure_is_named() -> None:
    pairs = choose_pairs(10, 1000)
    found, notes = thresholds_of_images(np.arange(45.0), pairs, None, ["1e-1", "1e-3"])
    assert [threshold.far for threshold in found] == ["1e-1"]
    assert notes[1].startswith("no threshold at FAR 1e-3: 45 pairs of different people are too few")
