"""Fit the map between the embeddings of two models, from images that both embedded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from facekd.errors import DataError
from facekd.evaluation.cross_model.feature_map import Method
from facekd.evaluation.types import FloatArray, IntArray
from facekd.route.rotation import procrustes_rotation
from facekd.utils.functional import l2_normalize_rows

REGULARIZATIONS = (1e-3, 1e-2, 1e-1, 1.0)
"""Ridge's weights that are tried, as shares of the mean eigenvalue of the second moments of the old embeddings."""
FIT_SHARE, CHOICE_SHARE = 0.6, 0.2
"""Shares of the people that the candidates are fitted on and chosen on; on the others the map is measured."""
MIN_IMAGES = 30
"""Fewer images than this are refused."""
MIN_PEOPLE = 10
"""With fewer people than this, the images are split without regard to people."""


@dataclass(frozen=True)
class Split:
    """Rows by their use, int64.

    Attributes:
        fit: the candidates are fitted on these.
        choice: the candidate is chosen on these; the chosen one is fitted again on both.
        held_out: the map is measured on these.
    """

    fit: IntArray
    choice: IntArray
    held_out: IntArray


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A fitted map.

    Attributes:
        method: ``ridge`` or ``procrustes``.
        regularization: see `REGULARIZATIONS`; None for Procrustes.
        matrix: float32 [old dimension, new dimension].
        offset: float32 [new dimension].
    """

    method: Method
    regularization: float | None
    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]

    def convert(self, old: FloatArray) -> FloatArray:
        """Map embeddings of unit length, float64 [images, old dimension], to [images, new dimension]."""
        return l2_normalize_rows(old @ self.matrix + self.offset)


def split_rows(labels: IntArray, seed: int = 0) -> Split:
    """Split images at random into those to fit, to choose and to measure on, with all images of a person in one.

    With fewer than `MIN_PEOPLE` people the images of one person can be in several.

    Args:
        labels: int64 [images], the person of each image.
        seed: seed of the draw.

    Raises:
        DataError: there are fewer than `MIN_IMAGES` images.
    """
    if len(labels) < MIN_IMAGES:
        raise DataError(f"{len(labels)} images are too few to fit a map; give at least {MIN_IMAGES}, better more than "
                        "an embedding has numbers")
    people = np.unique(labels, return_inverse=True)[1]
    if people.max() + 1 < MIN_PEOPLE:
        people = np.arange(len(labels))
    position = np.random.default_rng(seed).permutation(people.max() + 1)
    first_choice, first_held_out = (round(share * len(position)) for share in (FIT_SHARE, FIT_SHARE + CHOICE_SHARE))
    chunk = np.searchsorted([first_choice, first_held_out], position[people], "right")
    return Split(*(np.flatnonzero(chunk == number) for number in range(3)))


def fit(old: FloatArray, new: FloatArray, split: Split, method: Method | None = None) -> FittedMap:
    """Fit the map from old to new embeddings that has the highest `separation` on the images of choice.

    The candidates are ridge regression (Hoerl and Kennard 1970; scikit-learn's, with an intercept) at each of
    `REGULARIZATIONS`, and for embeddings of one length the orthogonal Procrustes rotation (Schoenemann 1966). The
    cosine would be a misleading choice: a strong regularization moves all rows towards the mean of the new embeddings,
    which raises the cosine of every image, and of strangers even more.

    Args:
        old: float64 [images, dimension], rows of unit length.
        new: float64 [images, dimension], rows of unit length, of the same images.
        split: the rows by their use.
        method: the only method to try; by default both.

    Raises:
        DataError: Procrustes is asked for embeddings of different lengths.
    """
    equal_lengths = old.shape[1] == new.shape[1]
    if method == "procrustes" and not equal_lengths:
        raise DataError(f"Procrustes rotates embeddings of one length, these have {old.shape[1]} and {new.shape[1]} "
                        "numbers; use --method ridge")
    candidates: list[tuple[Method, float | None]] = []
    if method != "procrustes":
        candidates += [("ridge", share) for share in REGULARIZATIONS]
    if method == "procrustes" or (method is None and equal_lengths):
        candidates.append(("procrustes", None))
    separations = [separation(_fit(old[split.fit], new[split.fit], *candidate).convert(old[split.choice]),
                              new[split.choice]) for candidate in candidates]
    best = candidates[int(np.argmax(separations))]
    both = np.concatenate([split.fit, split.choice])
    return _fit(old[both], new[both], *best)


def separation(mapped: FloatArray, new: FloatArray) -> float:
    """Measure how clearly an image's mapped embedding is closer to its own new embedding than to those of others.

    It needs no labels, and agrees with verification across the models where these are known.

    Args:
        mapped: float64 [images, dimension], rows of unit length.
        new: float64 [images, dimension], rows of unit length, of the same images.

    Returns:
        the difference of the mean cosines of an image with itself and with another one, in standard deviations.
    """
    cosines = new @ mapped.T
    own = np.diag(cosines)
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    return float((own.mean() - others.mean()) / max(np.sqrt((own.var() + others.var()) / 2), 1e-9))


def _fit(old: FloatArray, new: FloatArray, method: Method, regularization: float | None) -> FittedMap:
    if regularization is None:
        rotation = procrustes_rotation(old, new)
        return FittedMap(method, None, rotation.astype(np.float32), np.zeros(new.shape[1], np.float32))
    # The trace of the second moments of n unit rows is n, so n / dimension is their mean eigenvalue.
    ridge = Ridge(regularization * len(old) / old.shape[1]).fit(old, new)
    matrix = np.atleast_2d(ridge.coef_).T.astype(np.float32)
    return FittedMap(method, regularization, matrix, np.asarray(ridge.intercept_, np.float32))
