from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import GalleryScores, rank_against_gallery
from facekd.evaluation.identification.mates import exact_scores
from facekd.evaluation.types import Float32Array, IntArray
from tests.evaluation.toy import unit_rows

Faces = tuple[Float32Array, IntArray, Float32Array, IntArray]


def random_faces(seed: int = 0) -> Faces:
    """Probes of 30 people, of whom 20 are in the gallery with 1 to 4 rows each, in no order."""
    generator = np.random.default_rng(seed)
    gallery_labels = generator.permutation(np.repeat(np.arange(5, 45), generator.integers(1, 5, 40)))
    labels = generator.integers(25, 55, 70)
    centers = generator.normal(size=(60, 8))
    probes, gallery = (centers[who] + generator.normal(size=(len(who), 8)) for who in (labels, gallery_labels))
    return unit_rows(probes), labels, unit_rows(gallery), gallery_labels


def tied_faces(seed: int = 0) -> Faces:
    """Rows of four halves with signs: every score is a multiple of 1/2, exact in any arithmetic, and ties abound."""
    generator = np.random.default_rng(seed)
    probes, gallery = (generator.choice([-0.5, 0.5], (size, 4)).astype(np.float32) for size in (50, 40))
    return probes, generator.integers(0, 15, 50), gallery, generator.integers(5, 20, 40)


def rank_one_by_one(probes: Float32Array, labels: IntArray, gallery: Float32Array,
                    gallery_labels: IntArray) -> list[tuple[int, float, float]]:
    """Rank, score of the mate and highest other score of each probe, in float64 and by the definition."""
    results = []
    for probe, label in zip(probes.astype(np.float64), labels.tolist(), strict=True):
        scores = gallery.astype(np.float64) @ probe
        best = {who: scores[gallery_labels == who].max() for who in set(gallery_labels.tolist())}
        mate = best.pop(label, -np.inf)
        rank = 0 if mate == -np.inf else 1 + sum(score >= mate for score in best.values())
        results.append((rank, mate, max(best.values())))
    return results


def assert_equals_definition(scores: GalleryScores, faces: Faces) -> None:
    ranks, mates, highest = zip(*rank_one_by_one(*faces), strict=True)
    assert scores.rank.tolist() == list(ranks)
    assert scores.mated.tolist() == [rank > 0 for rank in ranks]
    np.testing.assert_allclose(scores.mate_score, mates, atol=1e-12)
    np.testing.assert_allclose(scores.non_mate_score, highest, atol=1e-12)


def rank_faces(faces: Faces) -> GalleryScores:
    probes, labels, gallery, gallery_labels = faces
    return rank_against_gallery(ArrayFeatures(probes, "p", labels), ArrayFeatures(gallery, "g", gallery_labels))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("create_faces", [random_faces, tied_faces])
def test_ranks_and_scores_are_those_of_the_definition(create_faces: Callable[[int], Faces], seed: int) -> None:
    faces = create_faces(seed)
    assert_equals_definition(rank_faces(faces), faces)


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_blocks_do_not_matter(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.evaluation.identification.gallery.BLOCK_ROWS", rows)
    monkeypatch.setattr("facekd.evaluation.identification.gallery.PROBES_PER_BLOCK", 7)
    assert_equals_definition(rank_faces(random_faces(7)), random_faces(7))
    assert_equals_definition(rank_faces(tied_faces(7)), tied_faces(7))


def test_a_row_equal_to_the_mate_is_ahead_of_it() -> None:
    generator = np.random.default_rng(0)
    gallery = unit_rows(generator.normal(size=(3000, 128)))
    gallery[1::3] = gallery[::3]  # two people with one face, and a third one
    labels = np.arange(0, 3000, 3)
    probes = unit_rows(gallery[labels] + 0.3 * generator.normal(size=(1000, 128)) / 128**0.5)
    scores = rank_against_gallery(ArrayFeatures(probes, "p", labels), ArrayFeatures(gallery, "g", np.arange(3000)))
    assert (scores.rank == 2).all()
    assert (scores.mate_score == scores.non_mate_score).all()


def test_the_best_other_score_is_exact_among_identities_that_float32_does_not_tell_apart() -> None:
    """Each person of the gallery is another one with its last bits changed, so float32 products order them wrongly."""
    generator = np.random.default_rng(3)
    probes, people = (unit_rows(generator.normal(size=(size, 64))) for size in (60, 40))
    gallery = np.concatenate([people, *(np.nextafter(people, generator.choice([-2, 2], people.shape).astype(np.float32))
                                        for _ in range(3))])
    scores = rank_faces((probes, np.full(60, -1), gallery, np.arange(len(gallery))))
    pairs = np.repeat(np.arange(60), len(gallery)), np.tile(np.arange(len(gallery)), 60)
    exact = exact_scores(probes, pairs[0], gallery, pairs[1]).reshape(60, -1)
    assert scores.non_mate_score.tolist() == exact.max(axis=1).tolist()


def test_a_gallery_of_one_person_has_nobody_else() -> None:
    row = np.array([[1, 0]], np.float32)
    scores = rank_against_gallery(ArrayFeatures(row, "p", np.array([3])), ArrayFeatures(row, "g", np.array([3])))
    assert scores.rank.tolist() == [1]
    assert scores.non_mate_score.tolist() == [-np.inf]


def test_features_of_two_models_are_refused() -> None:
    two, three = np.eye(2, dtype=np.float32), np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="p has 2 dimensions, g 3"):
        rank_against_gallery(ArrayFeatures(two, "p", np.arange(2)), ArrayFeatures(three, "g", np.arange(3)))


@pytest.mark.parametrize(("probes", "gallery", "message"), [(None, np.arange(2), "the probes, p"),
                                                            (np.arange(2), None, "the gallery, g")])
def test_rows_without_labels_are_refused(probes: IntArray | None, gallery: IntArray | None, message: str) -> None:
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(DataError, match=f"{message}, have no labels"):
        rank_against_gallery(ArrayFeatures(rows, "p", probes), ArrayFeatures(rows, "g", gallery))


def test_a_zero_row_is_named() -> None:
    probes, rows = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    rows[1] = 0
    with pytest.raises(DataError, match="g, row 1"):
        rank_against_gallery(ArrayFeatures(probes, "p", np.arange(3)), ArrayFeatures(rows, "g", np.arange(3)))
