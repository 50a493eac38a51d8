from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import Searched, compare

Rows = NDArray[np.float32]
Ints = NDArray[np.int64]
Faces = tuple[Rows, Ints, Rows, Ints]


def random_faces(seed: int = 0) -> Faces:
    """Probes of 30 people, of whom 20 are in the gallery with 1 to 4 rows each, in no order."""
    generator = np.random.default_rng(seed)
    gallery_labels = generator.permutation(np.repeat(np.arange(5, 45), generator.integers(1, 5, 40)))
    labels = generator.integers(25, 55, 70)
    centres = generator.normal(size=(60, 8))
    probes, gallery = (centres[who] + generator.normal(size=(len(who), 8)) for who in (labels, gallery_labels))
    return unit(probes), labels, unit(gallery), gallery_labels


def tied_faces(seed: int = 0) -> Faces:
    """Rows of four halves with signs: every score is a multiple of 1/2, exact in any arithmetic, and ties abound."""
    generator = np.random.default_rng(seed)
    probes, gallery = (generator.choice([-0.5, 0.5], (size, 4)).astype(np.float32) for size in (50, 40))
    return probes, generator.integers(0, 15, 50), gallery, generator.integers(5, 20, 40)


def unit(rows: NDArray[np.float64]) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def one_by_one(probes: Rows, labels: Ints, gallery: Rows, gallery_labels: Ints) -> list[tuple[int, float, float]]:
    """Rank, score of the mate and highest other score of each probe, in float64 and by the definition."""
    found = []
    for probe, label in zip(probes.astype(np.float64), labels.tolist(), strict=True):
        scores = gallery.astype(np.float64) @ probe
        best = {who: scores[gallery_labels == who].max() for who in set(gallery_labels.tolist())}
        mate = best.pop(label, -np.inf)
        rank = 0 if mate == -np.inf else 1 + sum(score >= mate for score in best.values())
        found.append((rank, mate, max(best.values())))
    return found


def check(found: Searched, faces: Faces) -> None:
    ranks, mates, highest = zip(*one_by_one(*faces), strict=True)
    assert found.rank.tolist() == list(ranks)
    assert found.mated.tolist() == [rank > 0 for rank in ranks]
    np.testing.assert_allclose(found.mate, mates, atol=1e-12)
    np.testing.assert_allclose(found.highest, highest, atol=1e-12)


def searched(faces: Faces) -> Searched:
    probes, labels, gallery, gallery_labels = faces
    return compare(ArrayFeatures(probes, "p", labels), ArrayFeatures(gallery, "g", gallery_labels))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", [random_faces, tied_faces])
def test_ranks_and_scores_are_those_of_the_definition(kind: object, seed: int) -> None:
    faces = random_faces(seed) if kind is random_faces else tied_faces(seed)
    check(searched(faces), faces)


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_blocks_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.evaluation.identification.gallery.ROWS", rows)
    monkeypatch.setattr("facekd.evaluation.identification.gallery.PROBES", 7)
    check(searched(random_faces(7)), random_faces(7))
    check(searched(tied_faces(7)), tied_faces(7))


def test_a_row_equal_to_the_mate_is_ahead_of_it() -> None:
    generator = np.random.default_rng(0)
    gallery = unit(generator.normal(size=(3000, 128)))
    gallery[1::3] = gallery[::3]  # two people with one face, and a third one
    labels = np.arange(0, 3000, 3)
    probes = unit(gallery[labels] + 0.3 * generator.normal(size=(1000, 128)) / 128**0.5)
    found = compare(ArrayFeatures(probes, "p", labels), ArrayFeatures(gallery, "g", np.arange(3000)))
    assert (found.rank == 2).all()
    assert (found.mate == found.highest).all()


def test_a_gallery_of_one_person_has_nobody_else() -> None:
    row = np.array([[1, 0]], np.float32)
    found = compare(ArrayFeatures(row, "p", np.array([3])), ArrayFeatures(row, "g", np.array([3])))
    assert found.rank.tolist() == [1]
    assert found.highest.tolist() == [-np.inf]


def test_features_of_two_models_are_refused() -> None:
    one, other = np.eye(2, dtype=np.float32), np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="p has 2 dimensions, g 3"):
        compare(ArrayFeatures(one, "p", np.arange(2)), ArrayFeatures(other, "g", np.arange(3)))


@pytest.mark.parametrize(("probes", "gallery", "message"), [(None, np.arange(2), "the probes, p"),
                                                            (np.arange(2), None, "the gallery, g")])
def test_rows_without_labels_are_refused(probes: Ints | None, gallery: Ints | None, message: str) -> None:
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(DataError, match=f"{message}, have no labels"):
        compare(ArrayFeatures(rows, "p", probes), ArrayFeatures(rows, "g", gallery))


def test_a_zero_row_is_named() -> None:
    rows = np.eye(3, dtype=np.float32)
    rows[1] = 0
    with pytest.raises(DataError, match="g, row 1"):
        compare(ArrayFeatures(np.eye(3, dtype=np.float32), "p", np.arange(3)), ArrayFeatures(rows, "g", np.arange(3)))
