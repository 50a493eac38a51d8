from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.dataset_quality.label_noise import (
    NOISE_ANGLE,
    EmbeddingSource,
    dominant_sub_center,
    identity_centroids,
    live_source,
    stored_source,
    trimmed_mean,
)
from facekd.evaluation.types import BoolArray, IntArray
from tests.evaluation.toy import MemoryFaces, PixelEmbedder, unit_rows

PEOPLE, IMAGES_PER_PERSON, DIMENSION = 40, 20, 64
Planted = tuple[Features, Features, IntArray, BoolArray]


@pytest.fixture
def planted() -> Planted:
    """People's true directions, embeddings about 45 degrees around them, labels with 8 % swapped, which are wrong."""
    rng = np.random.default_rng(0)
    people = unit_rows(rng.normal(size=(PEOPLE, DIMENSION)).astype(np.float32))
    truth = rng.permutation(np.repeat(np.arange(PEOPLE), IMAGES_PER_PERSON))
    rows = people[truth] + rng.normal(0, 1 / np.sqrt(DIMENSION), (len(truth), DIMENSION)).astype(np.float32)
    labels, swapped = truth.copy(), rng.choice(len(truth), round(0.08 * len(truth)), replace=False)
    labels[swapped] = truth[np.roll(swapped, 1)]
    return people, rows * rng.uniform(5, 20, (len(rows), 1)).astype(np.float32), labels, labels != truth


def precision_and_recall(predicted: BoolArray, wrong: BoolArray) -> tuple[float, float]:
    both = (predicted & wrong).sum()
    return both / predicted.sum(), both / wrong.sum()


def test_swapped_labels_are_beyond_the_papers_angle_of_the_dominant_sub_center(planted: Planted) -> None:
    people, rows, labels, wrong = planted
    rng = np.random.default_rng(1)
    others = unit_rows(rng.normal(size=(PEOPLE * 2, DIMENSION)).astype(np.float32)).reshape(PEOPLE, 2, DIMENSION)
    sub_centers = np.concatenate([others[:, :1], 7 * people[:, None], others[:, 1:]], axis=1)
    centroids = identity_centroids(stored_source(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION, sub_centers)
    np.testing.assert_allclose(centroids.directions, people, atol=1e-6)
    precision, recall = precision_and_recall(centroids.angles > NOISE_ANGLE, wrong)
    assert precision > 0.95 and recall > 0.9


def test_swapped_labels_are_beyond_the_papers_angle_of_the_trimmed_mean(planted: Planted) -> None:
    _, rows, labels, wrong = planted
    precision, recall = precision_and_recall(
        identity_centroids(stored_source(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION).angles > NOISE_ANGLE, wrong)
    assert precision > 0.95 and recall > 0.9


def test_angles_are_those_of_a_plain_loop_in_float64(planted: Planted) -> None:
    _, rows, labels, _ = planted
    centroids = identity_centroids(stored_source(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION)
    for index in range(0, len(rows), 37):
        row, person = rows[index].astype(np.float64), centroids.directions[labels[index]].astype(np.float64)
        angle = np.degrees(np.arccos(row @ person / np.linalg.norm(row) / np.linalg.norm(person)))
        assert centroids.angles[index] == pytest.approx(angle, abs=1e-3)


@pytest.mark.parametrize("length", [1, 7, 10_000])
def test_it_does_not_matter_how_the_embeddings_come(planted: Planted, length: int) -> None:
    _, rows, labels, _ = planted

    def source(order: IntArray) -> Iterator[Features]:
        return (rows[order[start : start + length]] for start in range(0, len(order), length))

    by_blocks: EmbeddingSource = source
    expected = identity_centroids(stored_source(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION)
    np.testing.assert_array_equal(identity_centroids(by_blocks, labels, PEOPLE, DIMENSION).angles, expected.angles)


def test_a_person_without_an_image_has_no_direction() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))
    centroids = identity_centroids(stored_source(ArrayFeatures(rows)), np.array([0, 0, 2, 2]), 4, 8)
    assert np.linalg.norm(centroids.directions, axis=1) == pytest.approx([1, 0, 1, 0])


def test_the_dominant_center_is_that_of_the_most_images_not_of_the_nearest() -> None:
    sub_centers = np.eye(3, dtype=np.float32)
    rows = unit_rows(np.array([[1, 0, 0], [0.6, 1, 0], [0.6, 1, 0]], np.float32))
    np.testing.assert_array_equal(dominant_sub_center(rows, sub_centers), sub_centers[1])


def test_a_wrong_minority_does_not_shift_the_trimmed_mean() -> None:
    right, wrong = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    np.testing.assert_allclose(trimmed_mean(np.stack([right] * 6 + [wrong] * 4)), right, atol=1e-6)


def test_two_images_count_the_same() -> None:
    rows = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(trimmed_mean(rows), [0.5**0.5, 0.5**0.5], atol=1e-6)


def test_live_embeddings_are_those_of_the_images_in_this_order() -> None:
    faces, order = MemoryFaces(4, 3, seed=0), np.array([7, 0, 11, 3])
    rows = np.concatenate(list(live_source(PixelEmbedder(), faces)(order)))
    expected = PixelEmbedder().embed(faces.crops[order][..., ::-1], flip=False, normalize=False)
    np.testing.assert_array_equal(rows, expected)


def test_live_and_stored_embeddings_give_the_same_angles() -> None:
    faces = MemoryFaces(4, 3, seed=0)
    stored = ArrayFeatures(PixelEmbedder().embed(faces.crops[..., ::-1], flip=False, normalize=False))
    live, from_file = (identity_centroids(source, faces.labels, 4, 256).angles
                       for source in (live_source(PixelEmbedder(), faces), stored_source(stored)))
    np.testing.assert_array_equal(live, from_file)
