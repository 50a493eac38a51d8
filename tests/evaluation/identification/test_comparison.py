from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.comparison import compare_identification
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.result import IdentificationResult
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.types import BoolArray

FARS = ("1e-2", "1e-3")
LABELS = np.repeat(np.arange(30), 4)


def identify_with_noise(noise: float, seed: int) -> IdentificationResult:
    """The result of a model whose features of a person vary by so much; people and distractors are always the same."""
    generator, noise_generator = np.random.default_rng(0), np.random.default_rng(seed)
    people, distractors = generator.normal(size=(30, 24)), generator.normal(size=(300, 24))
    probes = people[LABELS] + noise * noise_generator.normal(size=(120, 24))
    result = identify(ArrayFeatures(probes, labels=LABELS), ArrayFeatures(distractors), FARS, resamples=5)
    assert result is not None
    return result


def compare(first: IdentificationResult, second: IdentificationResult) -> list[Difference]:
    tars = [(f"TAR at FAR {far}", first.tar[far] or 0.0, second.tar[far] or 0.0) for far in FARS]
    figures = [("rank-1", first.rank1, second.rank1), *tars]
    return compare_identification(first.identity_counts, second.identity_counts, figures, FARS)


def hits_by_person(result: IdentificationResult) -> list[BoolArray]:
    """By person, whether each pair's mate is at rank 1, from the ranks."""
    owner = LABELS[result.mates.probe]
    return [result.distractors_ahead[owner == person] == 0 for person in range(30)]


def test_the_interval_is_that_of_a_plain_paired_bootstrap() -> None:
    first, second = identify_with_noise(0.7, 1), identify_with_noise(0.75, 2)
    drawn = np.random.default_rng(3).integers(30, size=(4000, 30))
    first_hits, second_hits = hits_by_person(first), hits_by_person(second)
    plain = [np.mean(np.concatenate([first_hits[person] for person in people]))
             - np.mean(np.concatenate([second_hits[person] for person in people])) for people in drawn]
    difference = compare(first, second)[0]
    assert difference.first - difference.second == pytest.approx(first.rank1 - second.rank1)
    assert difference.interval == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_pairing_sees_what_two_intervals_do_not() -> None:
    """A model and itself with a little more noise: their own intervals overlap, the difference is significant."""
    first, second = identify_with_noise(0.7, 1), identify_with_noise(0.76, 1)
    assert first.rank1_interval[0] < second.rank1_interval[1]
    assert compare(first, second)[0].is_significant


def test_a_model_does_not_differ_from_itself() -> None:
    result = identify_with_noise(0.7, 1)
    differences = compare(result, result)
    assert {difference.interval for difference in differences} == {(0.0, 0.0)}
    assert not any(difference.is_significant for difference in differences)
    assert differences[0].describe().endswith("= +0.00 points [+0.00, +0.00], no clear difference")


def test_other_people_are_refused() -> None:
    result = identify_with_noise(0.7, 1)
    fewer = identify(ArrayFeatures(result.mates.probes[:80], labels=LABELS[:80]), ArrayFeatures(np.eye(24)), FARS)
    assert fewer is not None
    with pytest.raises(DataError, match="30 people with 120 probes among 300 distractors, 20 with 80 among 24"):
        compare(result, fewer)
