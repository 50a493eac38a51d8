from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.pairs.groups import GroupedPairs
from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.errors import DataError
from facekd.evaluation.groups.rates import LISTED_NOTE, RATIO_NOTE, measure_groups
from facekd.evaluation.groups.result import GroupsResult
from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification.verify import pair_scores

PEOPLE, IMAGES = 24, 3


def pair_list(as_bytes: bool = False) -> PairSet:
    """All genuine pairs of 24 people, and an impostor pair with the next person but one."""
    def image(person: int, number: int) -> Path | bytes:
        text = f"p{person % PEOPLE:02d}/{number}.jpg"
        return text.encode() if as_bytes else Path("/faces") / text

    first: list[Path | bytes] = []
    second: list[Path | bytes] = []
    same = []
    for person in range(PEOPLE):
        first += [image(person, 0), image(person, 0), image(person, 1), image(person, 0)]
        second += [image(person, 1), image(person, 2), image(person, 2), image(person + 2, 1)]
        same += [True, True, True, False]
    return build_pair_set(Path("pairs.csv"), first, second, same, [1] * len(same))


def person_of(image: Path | bytes) -> int:
    return int((image.decode() if isinstance(image, bytes) else image.parent.name)[1:3].lstrip("p"))


def grouped(pairs: PairSet) -> GroupedPairs:
    """Even people are one group, odd ones the other."""
    return GroupedPairs(pairs, ["odd" if person_of(image) % 2 else "even" for image in pairs.images])


def embeddings(pairs: PairSet) -> FloatArray:
    """People of the odd group resemble each other more."""
    generator = np.random.default_rng(0)
    people = np.array([person_of(image) for image in pairs.images])
    centers = generator.normal(size=(PEOPLE, 8)) + (np.arange(PEOPLE) % 2)[:, None] * np.array([1.2] + [0] * 7)
    rows = centers[people] + 0.8 * generator.normal(size=(len(people), 8))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def measured(threshold: float = 0.4, as_bytes: bool = False, resamples: int = 200) -> GroupsResult:
    pairs = pair_list(as_bytes)
    features = embeddings(pairs)
    return measure_groups(features, grouped(pairs), pair_scores(features, pairs), threshold, resamples=resamples)


def test_rates_are_those_of_a_count_pair_by_pair() -> None:
    pairs = pair_list()
    features = embeddings(pairs)
    people = [person_of(image) for image in pairs.images]
    scores = pair_scores(features, pairs)
    for number, row in enumerate(measured().groups):
        images = [index for index, person in enumerate(people) if person % 2 == number]
        impostors = [features[a] @ features[b] > 0.4 for a in images for b in images
                     if a < b and people[a] != people[b]]
        genuine = [score > 0.4 for score, same, first in zip(scores, pairs.same, pairs.first, strict=True)
                   if same and people[first] % 2 == number]
        assert (row.group, row.people) == (("even", "odd")[number], 12)
        assert (row.impostor_pairs, row.false_matches) == (len(impostors), sum(impostors))
        assert (row.genuine_pairs, row.false_non_matches) == (len(genuine), len(genuine) - sum(genuine))
        assert row.fmr is not None and row.fnmr is not None
        assert row.fmr.value == pytest.approx(np.mean(impostors))
        assert row.fnmr.value == pytest.approx(1 - np.mean(genuine))


def test_the_worst_ratio_names_both_groups() -> None:
    result = measured()
    rates = {row.group: row.fmr.value for row in result.groups if row.fmr}
    assert result.worst_fmr is not None
    assert (result.worst_fmr.highest, result.worst_fmr.lowest) == ("odd", "even")
    assert result.worst_fmr.value == pytest.approx(rates["odd"] / rates["even"])
    low, high = result.worst_fmr.interval
    assert low <= result.worst_fmr.value and (high is None or high >= result.worst_fmr.value)
    assert result.notes == (RATIO_NOTE,)


def test_intervals_are_those_of_people_that_are_drawn_with_their_images() -> None:
    pairs = pair_list()
    features = embeddings(pairs)
    people = np.array([person_of(image) for image in pairs.images])
    generator = np.random.default_rng(1)
    rates = []
    for _ in range(200):
        drawn = 2 * generator.integers(0, 12, 12) + 1
        images = np.concatenate([np.flatnonzero(people == person) for person in drawn])
        impostor = np.triu(people[images][:, None] != people[images], 1)
        rates.append((features[images] @ features[images].T > 0.4)[impostor].mean())
    fmr = measured(resamples=300).groups[1].fmr
    assert fmr is not None
    assert fmr.interval == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.03)


def test_groups_without_an_error_have_no_ratio() -> None:
    result = measured(2.0)
    assert [row.false_matches for row in result.groups] == [0, 0] and result.worst_fmr is None
    assert result.worst_fnmr is not None and result.worst_fnmr.value == 1


def test_people_that_are_known_from_pairs_alone_have_the_false_matches_of_the_list() -> None:
    pairs = pair_list()
    result = measured(as_bytes=True)
    assert result.notes == (RATIO_NOTE, LISTED_NOTE)
    scores = pair_scores(embeddings(pairs), pairs)
    people = np.array([person_of(pairs.images[first]) for first in pairs.first])
    for number, row in enumerate(result.groups):
        listed = scores[~pairs.same & (people % 2 == number)]
        assert (row.impostor_pairs, row.false_matches) == (len(listed), (listed > 0.4).sum())


def test_images_without_a_group_are_left_out_and_counted() -> None:
    pairs = pair_list()
    features = embeddings(pairs)
    groups = grouped(pairs).groups
    groups[:3] = ["", "", ""]  # all images of the first person
    result = measure_groups(features, GroupedPairs(pairs, groups), pair_scores(features, pairs), 0.4, resamples=5)
    assert [row.people for row in result.groups] == [11, 12]
    assert result.notes[-1] == "3 of 72 images have no group and are left out"


def test_one_group_is_no_comparison() -> None:
    pairs = pair_list()
    features = embeddings(pairs)
    with pytest.raises(DataError, match="holds 1 groups, a comparison needs two or more"):
        measure_groups(features, GroupedPairs(pairs, ["a"] * 72), pair_scores(features, pairs), 0.4)


def test_a_person_in_two_groups_is_refused() -> None:
    pairs = pair_list()
    features = embeddings(pairs)
    groups = ["a", "b"] * 36
    with pytest.raises(DataError, match=r"24 people have images in two groups, e\.g\. in 'a' and 'b'"):
        measure_groups(features, GroupedPairs(pairs, groups), pair_scores(features, pairs), 0.4)
