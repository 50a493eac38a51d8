from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification.all_impostors import FROM_PAIRS, identities_of_images, measure_all_impostors
from facekd.evaluation.verification.verify import pair_scores

PEOPLE, IMAGES = 40, 3


def pair_list(as_bytes: bool = False) -> PairSet:
    """Two genuine and two impostor pairs per person; with bytes the paths are unknown."""
    def image(person: int, number: int) -> Path | bytes:
        return f"{person}/{number}".encode() if as_bytes else Path(f"/faces/p{person % PEOPLE:02d}/{number}.jpg")

    first: list[Path | bytes] = []
    second: list[Path | bytes] = []
    same = []
    for person in range(PEOPLE):
        for number in (1, 2):
            first += [image(person, 0), image(person, number)]
            second += [image(person, number), image((person + number) % PEOPLE, number)]
            same += [True, False]
    return build_pair_set(Path("pairs.csv"), first, second, same, [1 + n % 2 for n in range(len(same))])


def embeddings(seed: int = 0) -> FloatArray:
    generator = np.random.default_rng(seed)
    pairs = pair_list()
    people = np.array([int(str(path)[8:10]) for path in pairs.images])
    rows = generator.normal(size=(PEOPLE, 12))[people] + 0.7 * generator.normal(size=(len(people), 12))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def impostor_scores(features: FloatArray, people: Sequence[int]) -> FloatArray:
    """The cosines of all pairs of images of different people, in falling order, one after the other."""
    found = [features[first] @ features[second] for second in range(len(people)) for first in range(second)
             if people[first] != people[second]]
    return np.sort(np.array(found))[::-1]


def test_thresholds_are_of_all_impostor_pairs_and_tar_of_the_genuine_pairs_of_the_list() -> None:
    pairs, features = pair_list(), embeddings()
    scores = pair_scores(features, pairs)
    result = measure_all_impostors(features, pairs, scores, ["1e-1", "1e-2", "1e-9"])
    assert result is not None
    people = [int(str(path)[8:10]) for path in pairs.images]
    falling = impostor_scores(features, people)
    assert (result.impostor_pairs, result.people, result.identities) == (len(falling), PEOPLE, "folders")
    for far, rate in (("1e-1", 0.1), ("1e-2", 0.01)):
        threshold = falling[int(rate * len(falling))]
        assert result.thresholds[far] == pytest.approx(threshold)
        assert result.tar[far] == pytest.approx((scores[pairs.same] > threshold).mean())
        low, high = result.tar_interval[far] or (1, 0)
        assert low <= (result.tar[far] or 0) <= high
    assert (result.thresholds["1e-9"], result.tar["1e-9"], result.tar_interval["1e-9"]) == (None, None, None)


def test_intervals_are_those_of_people_that_are_drawn_with_their_images() -> None:
    pairs, features = pair_list(), embeddings()
    people = np.array([int(str(path)[8:10]) for path in pairs.images])
    generator = np.random.default_rng(1)
    thresholds = []
    for _ in range(100):
        drawn = generator.integers(0, PEOPLE, PEOPLE)
        images = np.concatenate([np.flatnonzero(people == person) for person in drawn])
        cosines = features[images] @ features[images].T
        impostor = np.triu(people[images][:, None] != people[images], 1)
        thresholds.append(np.quantile(cosines[impostor], 0.9))
    result = measure_all_impostors(features, pairs, pair_scores(features, pairs), ["1e-1"])
    assert result is not None
    low, high = result.threshold_interval["1e-1"] or (0, 0)
    assert high - low == pytest.approx(np.subtract(*np.quantile(thresholds, [0.975, 0.025])), rel=0.35)


def test_without_folders_the_genuine_pairs_tell_the_people_apart() -> None:
    named, unnamed = pair_list(), pair_list(as_bytes=True)
    features = embeddings()
    scores = pair_scores(features, named)
    by_folder = measure_all_impostors(features, named, scores, ["1e-2"])
    by_pairs = measure_all_impostors(features, unnamed, scores, ["1e-2"])
    assert by_folder is not None and by_pairs is not None
    assert by_pairs.identities == "pairs" and by_pairs.notes == (FROM_PAIRS,)
    assert (by_pairs.thresholds, by_pairs.people) == (by_folder.thresholds, PEOPLE)


def test_a_list_that_contradicts_itself_names_nobody() -> None:
    images: list[Path | bytes] = [b"a", b"b", b"c"]
    contradiction = build_pair_set(Path("x.bin"), images, [b"b", b"c", b"a"], [True, True, False], [1, 1, 1])
    assert identities_of_images(contradiction) is None
    one_person = build_pair_set(Path("x.bin"), images[:2], images[1:], [True, True], [1, 1])
    assert identities_of_images(one_person) is None


def test_too_few_pairs_for_any_rate_give_nothing() -> None:
    pairs, features = pair_list(), embeddings()
    assert measure_all_impostors(features, pairs, pair_scores(features, pairs), ["1e-8"]) is None


def test_the_lines_name_the_rates() -> None:
    pairs, features = pair_list(), embeddings()
    result = measure_all_impostors(features, pairs, pair_scores(features, pairs), ["1e-2", "1e-8"])
    assert result is not None
    lines = result.describe()
    assert lines[0].startswith("of all 7,020 impostor pairs of the images (40 people)")
    assert lines[1].startswith("  FAR 1e-2: threshold 0.") and lines[2] == "  FAR 1e-8: too few impostor pairs"
