"""Angles between images and their identity, which are large where a label is wrong.

The direction of an identity is one of:

* **The dominant sub-center** (Deng et al., Sub-center ArcFace, ECCV 2020), for a head that was trained with K centers
  per class. The dominant center of an identity is the one that most of its images are nearest to; the other centers
  collect images that are unlike these. The paper drops images beyond 75 degrees of the dominant center.
* **The trimmed mean**, our choice, for any model: the mean of those unit embeddings of the identity that are nearest to
  the mean of all, half of them, so that a minority of wrong labels does not shift it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from facekd.data.face_set import FaceSet, FaceSubset
from facekd.data.feature_set import BLOCK_ROWS, Features, FeatureSet, FeatureSubset
from facekd.evaluation.embedding.embed import embed_batches
from facekd.evaluation.types import FloatArray, IntArray
from facekd.models.embedder import Embedder
from facekd.utils.functional import l2_normalize_rows
from facekd.utils.progress import progress_bar

NOISE_ANGLE = 75.0
"""Degrees from the dominant sub-center beyond which Sub-center ArcFace drops an image."""

EmbeddingSource = Callable[[IntArray], Iterator[Features]]
"""Return the embeddings of the images with these indices, in this order, in blocks: float32 [any, dimension]."""


@dataclass(frozen=True, eq=False)
class Centroids:
    """The directions of the identities of a face set, and the angles of its images to them.

    Attributes:
        directions: float32 [identities, dimension], unit rows; zeros for an identity without an image.
        angles: float64 [images], degrees between an image and its identity.
    """

    directions: Features
    angles: FloatArray


def identity_centroids(source: EmbeddingSource, labels: IntArray, identities: int, dimension: int,
                       sub_centers: Features | None = None) -> Centroids:
    """Compute the direction of every identity and the angle of every image to it.

    The embeddings of one identity are in memory at a time.

    Args:
        source: the embeddings of the images, of any length.
        labels: int64 [images], in [0, identities).
        identities: number of identities.
        dimension: length of an embedding.
        sub_centers: float32 [identities, K, dimension], the sub-centers of a head, of any length; None for trimmed
            means.
    """
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=identities)
    directions = np.zeros((identities, dimension), np.float32)
    angles = np.empty(len(labels))
    start = 0
    with progress_bar("label noise", len(labels)) as advance:
        groups = _split_by_identity(source(order), counts[counts > 0])
        for identity, rows in zip(np.flatnonzero(counts), groups, strict=True):
            if sub_centers is None:
                directions[identity] = trimmed_mean(rows)
            else:
                directions[identity] = dominant_sub_center(rows, l2_normalize_rows(sub_centers[identity]))
            cosines = rows.astype(np.float64) @ directions[identity].astype(np.float64)
            angles[order[start : start + len(rows)]] = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
            start += len(rows)
            advance(len(rows), "")
    return Centroids(directions, angles)


def dominant_sub_center(rows: Features, sub_centers: Features) -> Features:
    """Return the sub-center that most images are nearest to, [dimension]; of equals the first.

    Args:
        rows: [images, dimension], unit rows.
        sub_centers: [K, dimension], unit rows.
    """
    nearest = (rows @ sub_centers.T).argmax(axis=1)
    return np.asarray(sub_centers[np.bincount(nearest).argmax()])


def trimmed_mean(rows: Features) -> Features:
    """Return the direction of the mean of the unit rows nearest to the mean of all: half of them, and ties."""
    similarity = rows @ rows.mean(axis=0)
    nearest_half = rows[similarity >= np.median(similarity) - 1e-6]
    return np.asarray(l2_normalize_rows(nearest_half.mean(axis=0, keepdims=True))[0])


def live_source(embedder: Embedder, faces: FaceSet) -> EmbeddingSource:
    """Return a source that computes the embeddings when they are read, without mirror images."""
    return lambda order: embed_batches(embedder, FaceSubset(faces, order), flip=False)


def stored_source(features: FeatureSet) -> EmbeddingSource:
    """Return a source that reads embeddings from a file."""

    def read(order: IntArray) -> Iterator[Features]:
        """See `EmbeddingSource`."""
        ordered = FeatureSubset(features, order)
        for start in range(0, len(order), BLOCK_ROWS):
            yield ordered.read_rows(start, min(start + BLOCK_ROWS, len(order)))

    return read


def _split_by_identity(blocks: Iterator[Features], counts: IntArray) -> Iterator[Features]:
    """Regroup blocks of any length into groups of ``counts`` unit rows."""
    remaining = next(blocks)
    for count in counts.tolist():
        group = [remaining]
        while sum(map(len, group)) < count:
            group.append(next(blocks))
        rows = np.concatenate(group) if len(group) > 1 else remaining
        yield l2_normalize_rows(rows[:count])
        remaining = rows[count:]
