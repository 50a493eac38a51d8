from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.comparison import differences
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.per_identity import read_people, write_people
from facekd.evaluation.identification.result import IdentificationResult

FARS = ("1e-2", "1e-3")
LABELS = np.repeat(np.arange(30), 4)


def model(noise: float, seed: int) -> IdentificationResult:
    """A model whose features of a person differ by so much; the people and distractors are always the same."""
    always, own = np.random.default_rng(0), np.random.default_rng(seed)
    people, others = always.normal(size=(30, 24)), always.normal(size=(300, 24))
    probes = people[LABELS] + noise * own.normal(size=(120, 24))
    result = identify(ArrayFeatures(probes, labels=LABELS), ArrayFeatures(others), FARS, resamples=5)
    assert result is not None
    return result


def figures(one: IdentificationResult, other: IdentificationResult) -> list[tuple[str, float, float]]:
    tars = [(f"TAR at FAR {far}", one.tar[far] or 0.0, other.tar[far] or 0.0) for far in FARS]
    return [("rank-1", one.rank1, other.rank1), *tars]


def hits(result: IdentificationResult) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """By person, whether each pair's mate is at rank 1, from the ranks."""
    owner = LABELS[result.mates.probe]
    return [result.ahead[owner == person] == 0 for person in range(30)]


def test_the_interval_is_that_of_a_plain_paired_bootstrap() -> None:
    one, other = model(0.7, 1), model(0.75, 2)
    drawn = np.random.default_rng(3).integers(30, size=(4000, 30))
    a, b = hits(one), hits(other)
    plain = [np.mean(np.concatenate([a[p] for p in people])) - np.mean(np.concatenate([b[p] for p in people]))
             for people in drawn]
    found = differences(one.people, other.people, figures(one, other), FARS)[0]
    assert found.first - found.second == pytest.approx(one.rank1 - other.rank1)
    assert found.interval == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.01)


def test_pairing_sees_what_two_intervals_do_not() -> None:
    """A model beside itself with a little more noise: their own intervals overlap, the difference is clear."""
    one, other = model(0.7, 1), model(0.76, 1)
    assert one.rank1_interval[0] < other.rank1_interval[1]
    assert differences(one.people, other.people, figures(one, other), FARS)[0].clear


def test_a_model_does_not_differ_from_itself() -> None:
    one = model(0.7, 1)
    found = differences(one.people, one.people, figures(one, one), FARS)
    assert {difference.interval for difference in found} == {(0.0, 0.0)}
    assert not any(difference.clear for difference in found)
    assert found[0].describe().endswith("= +0.00 points [+0.00, +0.00], no clear difference")


def test_other_people_are_refused() -> None:
    one = model(0.7, 1)
    fewer = identify(ArrayFeatures(one.mates.probes[:80], labels=LABELS[:80]), ArrayFeatures(np.eye(24)), FARS)
    assert fewer is not None
    with pytest.raises(DataError, match="30 people with 120 probes among 300 distractors, 20 with 80 among 24"):
        differences(one.people, fewer.people, figures(one, one), FARS)


def test_counts_survive_the_disk(tmp_path: Path) -> None:
    counts = model(0.7, 1).people
    write_people(tmp_path / "counts.npz", counts)
    weights = np.random.default_rng(0).integers(0, 3, (10, 30)).astype(np.int32)
    assert np.array_equal(read_people(tmp_path / "counts.npz").figures(weights, FARS), counts.figures(weights, FARS))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text"])
def test_a_damaged_file_of_counts_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counts.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"counts\.npz cannot be read"):
        read_people(tmp_path / "counts.npz")
