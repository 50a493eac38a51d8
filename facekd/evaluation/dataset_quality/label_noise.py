"""How far each image lies from the person it is labelled as: what a model makes of wrong labels.

Two ways to say where a person is:

* **The dominant sub-centre**, the paper's (Deng et al., Sub-center ArcFace, ECCV 2020): a head with K
  centres a class was trained; of a person's centres the one that most of the images are nearest to is dominant, and
  the others took up what is unlike them. Images beyond 75 degrees of the dominant one are dropped.
* **The trimmed mean**, ours, for any model: the mean of the person's unit embeddings, then the mean of the half of
  them that lies nearest to it, so that a wrong minority does not pull it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import FaceSet
from facekd.data.feature_set import ROWS, Features, FeatureSet, SelectedFeatures
from facekd.evaluation.embedding.embed import embeddings
from facekd.models.embedder import Embedder, directions
from facekd.utils.progress import progress

PAPERS_ANGLE = 75.0
"""Degrees from the dominant sub-centre beyond which Sub-center ArcFace drops an image."""

Ints = NDArray[np.int64]
Source = Callable[[Ints], Iterator[Features]]
"""Gives the embeddings of images in the order asked for, a stretch at a time: float32 [any, dimension]."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where a model puts the people of a face set.

    Attributes:
        people: float32 [people, dimension], unit rows; zeros for a person without an image.
        angles: float64 [images], degrees between an image and its person.
    """

    people: Features
    angles: NDArray[np.float64]


def places(source: Source, labels: Ints, people: int, dimension: int, centres: Features | None = None) -> Places:
    """Find every person's direction, and every image's angle to it; one person's embeddings are in memory at a time.

    Args:
        source: of the images' embeddings, of any length.
        labels: int64 [images], in [0, people).
        people: number of them.
        dimension: of embeddings.
        centres: float32 [people, K, dimension], the sub-centres of a head, of any length; None: trimmed means.
    """
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=people)
    found = np.zeros((people, dimension), np.float32)
    angles, done = np.empty(len(labels)), 0
    with progress("label noise", len(labels)) as advance:
        for person, rows in zip(np.flatnonzero(counts), _parted(source(order), counts[counts > 0]), strict=True):
            found[person] = trimmed_mean(rows) if centres is None else dominant(rows, directions(centres[person]))
            cosines = rows.astype(np.float64) @ found[person].astype(np.float64)
            angles[order[done : done + len(rows)]] = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
            done += len(rows)
            advance(len(rows), "")
    return Places(found, angles)


def dominant(rows: Features, centres: Features) -> Features:
    """The sub-centre that most images are nearest to, [dimension]; of several the first.

    Args:
        rows: [images, dimension], unit rows.
        centres: [K, dimension], unit rows.
    """
    nearest = (rows @ centres.T).argmax(axis=1)
    return np.asarray(centres[np.bincount(nearest).argmax()])


def trimmed_mean(rows: Features) -> Features:
    """The direction of the mean of those unit rows that lie nearest to the mean of all: half of them, and ties."""
    near = rows @ rows.mean(axis=0)
    return np.asarray(directions(rows[near >= np.median(near) - 1e-6].mean(axis=0, keepdims=True))[0])


def asked(embedder: Embedder, faces: FaceSet) -> Source:
    """Embeddings computed when they are asked for, of the images as they are, without their mirrors."""

    def ask(order: Ints) -> Iterator[Features]:
        return embeddings(embedder, lambda i: faces.read(int(order[i])), lambda i: faces.where(int(order[i])),
                          len(order), flip=False)

    return ask


def kept(features: FeatureSet) -> Source:
    """Embeddings that lie in a file."""

    def ask(order: Ints) -> Iterator[Features]:
        chosen = SelectedFeatures(features, order)
        return (chosen.block(start, min(start + ROWS, len(order))) for start in range(0, len(order), ROWS))

    return ask


def _parted(blocks: Iterator[Features], counts: Ints) -> Iterator[Features]:
    """Blocks of any length as unit rows in parts of the lengths asked for."""
    held = next(blocks)
    for count in counts.tolist():
        parts = [held]
        while sum(map(len, parts)) < count:
            parts.append(next(blocks))
        whole = np.concatenate(parts) if len(parts) > 1 else held
        yield directions(whole[:count])
        held = whole[count:]
