"""Maps between embeddings, against known rotations and the normal equations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from facekd.errors import DataError
from facekd.evaluation.cross_model.fitting import MIN_IMAGES, fit, separation, split_rows
from facekd.evaluation.types import FloatArray
from tests.evaluation.toy import unit_rows

PEOPLE, DIMENSION = 60, 8


def embeddings() -> FloatArray:
    """Five images each of 60 people."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(PEOPLE, DIMENSION)).repeat(5, axis=0)
    return unit_rows(people + 0.4 * rng.normal(size=people.shape)).astype(float)


LABELS = np.arange(PEOPLE).repeat(5)


def test_no_person_is_in_two_parts() -> None:
    split = split_rows(LABELS)
    parts = [set(LABELS[rows].tolist()) for rows in (split.fit, split.choice, split.held_out)]
    assert [len(part) for part in parts] == [36, 12, 12]
    assert len(set.union(*parts)) == PEOPLE


def test_images_without_people_are_split_by_image() -> None:
    split = split_rows(np.zeros(100, np.int64))
    assert [len(rows) for rows in (split.fit, split.choice, split.held_out)] == [60, 20, 20]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="29 images are too few to fit a map; give at least 30"):
        split_rows(np.arange(MIN_IMAGES - 1))


def test_a_rotation_is_found_exactly() -> None:
    new = embeddings()
    rotation = ortho_group.rvs(DIMENSION, random_state=1)
    fitted = fit(new @ rotation.T, new, split_rows(LABELS), "procrustes")
    assert fitted.regularization is None
    assert fitted.matrix == pytest.approx(rotation, abs=1e-6)
    assert fitted.convert(new @ rotation.T) == pytest.approx(new, abs=1e-6)


def test_ridge_solves_the_centered_normal_equations() -> None:
    new = embeddings()
    rng = np.random.default_rng(2)
    old = unit_rows(new @ rng.normal(size=(DIMENSION, 5))).astype(float)
    split = split_rows(LABELS)
    fitted = fit(old, new, split, "ridge")
    rows = np.concatenate([split.fit, split.choice])
    x, y = old[rows] - old[rows].mean(axis=0), new[rows] - new[rows].mean(axis=0)
    assert fitted.regularization is not None
    weight = fitted.regularization * len(rows) / 5
    expected = np.linalg.solve(x.T @ x + weight * np.eye(5), x.T @ y)
    assert fitted.matrix == pytest.approx(expected, abs=1e-6)
    assert fitted.offset == pytest.approx(new[rows].mean(axis=0) - old[rows].mean(axis=0) @ expected, abs=1e-6)


def test_separation_is_in_pooled_standard_deviations() -> None:
    new = embeddings()[:40]
    mapped = unit_rows(new + 0.3).astype(float)
    own = [new[row] @ mapped[row] for row in range(40)]
    others = [new[row] @ mapped[column] for row in range(40) for column in range(40) if row != column]
    deviation = np.sqrt((np.var(own) + np.var(others)) / 2)
    assert separation(mapped, new) == pytest.approx((np.mean(own) - np.mean(others)) / deviation)


def test_a_map_that_moves_all_rows_to_one_mean_is_not_chosen_for_its_cosine() -> None:
    rng = np.random.default_rng(3)
    new = unit_rows(embeddings() + np.eye(DIMENSION)[0] * 3).astype(float)
    old = unit_rows(new + 0.15 * rng.normal(size=new.shape)).astype(float)
    fitted = fit(old, new, split_rows(LABELS))
    mean = unit_rows(np.repeat(new.mean(axis=0)[None], len(new), axis=0)).astype(float)
    assert separation(fitted.convert(old), new) > separation(mean, new) + 1


def test_procrustes_is_refused_for_two_lengths() -> None:
    with pytest.raises(DataError, match="these have 5 and 8 numbers; use --method ridge"):
        fit(embeddings()[:, :5], embeddings(), split_rows(LABELS), "procrustes")
