from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.dataset_quality.label_noise import (
    PAPERS_ANGLE,
    Ints,
    Source,
    dominant,
    kept,
    places,
    trimmed_mean,
)

PEOPLE, EACH, DIMENSION = 40, 20, 64
Planted = tuple[Features, Features, Ints, NDArray[np.bool_]]


def unit(rows: Features) -> Features:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def planted() -> Planted:
    """People's true directions, embeddings about 45 degrees around them, labels with 8 % swapped, which are wrong."""
    rng = np.random.default_rng(0)
    people = unit(rng.normal(size=(PEOPLE, DIMENSION)).astype(np.float32))
    truth = rng.permutation(np.repeat(np.arange(PEOPLE), EACH))
    rows = people[truth] + rng.normal(0, 1 / np.sqrt(DIMENSION), (len(truth), DIMENSION)).astype(np.float32)
    labels, swapped = truth.copy(), rng.choice(len(truth), round(0.08 * len(truth)), replace=False)
    labels[swapped] = truth[np.roll(swapped, 1)]
    return people, rows * rng.uniform(5, 20, (len(rows), 1)).astype(np.float32), labels, labels != truth


def precision_and_recall(found: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[float, float]:
    both = (found & wrong).sum()
    return both / found.sum(), both / wrong.sum()


def test_swapped_labels_lie_beyond_the_papers_angle_of_the_dominant_sub_centre(planted: Planted) -> None:
    people, rows, labels, wrong = planted
    rng = np.random.default_rng(1)
    others = unit(rng.normal(size=(PEOPLE * 2, DIMENSION)).astype(np.float32)).reshape(PEOPLE, 2, DIMENSION)
    centres = np.concatenate([others[:, :1], 7 * people[:, None], others[:, 1:]], axis=1)
    found = places(kept(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION, centres)
    np.testing.assert_allclose(found.people, people, atol=1e-6)
    precision, recall = precision_and_recall(found.angles > PAPERS_ANGLE, wrong)
    assert precision > 0.95 and recall > 0.9


def test_swapped_labels_lie_beyond_the_papers_angle_of_the_trimmed_mean(planted: Planted) -> None:
    _, rows, labels, wrong = planted
    precision, recall = precision_and_recall(
        places(kept(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION).angles > PAPERS_ANGLE, wrong)
    assert precision > 0.95 and recall > 0.9


def test_angles_are_those_of_a_plain_loop_in_float64(planted: Planted) -> None:
    _, rows, labels, _ = planted
    found = places(kept(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION)
    for index in range(0, len(rows), 37):
        row, person = rows[index].astype(np.float64), found.people[labels[index]].astype(np.float64)
        angle = np.degrees(np.arccos(row @ person / np.linalg.norm(row) / np.linalg.norm(person)))
        assert found.angles[index] == pytest.approx(angle, abs=1e-3)


@pytest.mark.parametrize("length", [1, 7, 10_000])
def test_it_does_not_matter_how_the_embeddings_come(planted: Planted, length: int) -> None:
    _, rows, labels, _ = planted

    def source(order: Ints) -> Iterator[Features]:
        return (rows[order[start : start + length]] for start in range(0, len(order), length))

    by_blocks: Source = source
    expected = places(kept(ArrayFeatures(rows)), labels, PEOPLE, DIMENSION)
    np.testing.assert_array_equal(places(by_blocks, labels, PEOPLE, DIMENSION).angles, expected.angles)


def test_a_person_without_an_image_has_no_direction() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))
    found = places(kept(ArrayFeatures(rows)), np.array([0, 0, 2, 2]), 4, 8)
    assert np.linalg.norm(found.people, axis=1) == pytest.approx([1, 0, 1, 0])


def test_the_dominant_centre_is_that_of_the_most_images_not_of_the_nearest() -> None:
    centres = np.eye(3, dtype=np.float32)
    rows = unit(np.array([[1, 0, 0], [0.6, 1, 0], [0.6, 1, 0]], np.float32))
    np.testing.assert_array_equal(dominant(rows, centres), centres[1])


def test_a_wrong_minority_does_not_pull_the_trimmed_mean_over() -> None:
    right, wrong = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    np.testing.assert_allclose(trimmed_mean(np.stack([right] * 6 + [wrong] * 4)), right, atol=1e-6)


def test_two_images_count_the_same() -> None:
    rows = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(trimmed_mean(rows), [0.5**0.5, 0.5**0.5], atol=1e-6)
