"""Whether a model tells a few images of different people apart, and whether it would do so better if fed otherwise.

A model that is fed pixels in another scaling than it was trained on gives nearly the same embedding for every image, or
embeddings that tell people apart less well. Both are visible on a few dozen images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import FaceSet
from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.data.transforms import Crops, decode_crop
from facekd.errors import DataError, ModelError
from facekd.models.embedder import Embedder
from facekd.utils.console import notify
from facekd.utils.functional import l2_normalize_rows

IMAGES = 64
"""Largest number of images of a check."""
MIN_IMAGES = 8
"""With fewer images nothing is said."""
OPTION = "--pixels "
"""What stands before the scaling of the pixels in the option that states it."""
ALIKE = 0.999
"""Median cosine from which the embeddings of different people count as alike. Untrained networks reach 0.997."""


@dataclass(frozen=True)
class Separation:
    """How well embeddings tell people apart.

    Attributes:
        median_cosine: median cosine of images of different people.
        auc: how often two images of one person are more similar than two of different people; None without such images.
        distance: difference of the means of both kinds of cosines, in standard deviations; None without such images.
    """

    median_cosine: float
    auc: float | None
    distance: float | None

    @property
    def is_clear(self) -> bool:
        """Whether people are told apart so well that nothing needs to be compared."""
        return self.median_cosine < 0.15 and (self.auc is None or self.auc > 0.995)

    def is_clearly_better(self, other: Separation) -> bool:
        """Return whether this separation is better by more than the choice of the images explains."""
        if self.auc is None or other.auc is None or self.distance is None or other.distance is None:
            return self.median_cosine < 0.5 and self.median_cosine < other.median_cosine - 0.4
        return (self.auc > max(0.85, other.auc + 0.15)
                or (self.auc > other.auc and self.distance > max(3.0, 1.5 * other.distance)))

    def describe(self) -> str:
        """Return the figures in words."""
        cosine = f"median cosine of different people {self.median_cosine:.3f}"
        return cosine if self.auc is None else f"{cosine}, AUC {self.auc:.3f}"


@dataclass(frozen=True)
class Plausibility:
    """The result of a check.

    Attributes:
        images: number of images.
        separation: the figures of the model as it is fed.
        better: the scaling of pixels, a value of ``--pixels``, with which it tells people apart clearly better; None if
            there is none.
        better_separation: the figures with that scaling.
        note: a sentence for the user; empty if nothing is implausible.
    """

    images: int
    separation: Separation
    better: str | None = None
    better_separation: Separation | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return asdict(self)


class _Images(Protocol):
    def read(self, index: int) -> bytes: ...

    def location(self, index: int) -> str: ...


def check_faces(embedder: Embedder, faces: FaceSet, *, option: str = OPTION) -> Plausibility | None:
    """Check a model on some images of a face set; see `check_crops`."""
    labels = np.asarray(faces.labels)
    values, counts = np.unique(labels, return_counts=True)
    people = _spread(values[counts > 1], IMAGES // 2)
    if not faces.is_labeled or len(values) < 2 or len(people) < MIN_IMAGES // 2:  # no identities are known
        indices = _spread(np.arange(len(labels)), IMAGES).tolist()
        return _check(embedder, faces, indices, indices, option)
    indices = [int(index) for person in people for index in np.flatnonzero(labels == person)[[0, -1]]]
    return _check(embedder, faces, indices, labels[indices].tolist(), option)


def check_pairs(embedder: Embedder, pairs: PairSet, *, option: str = OPTION) -> Plausibility | None:
    """Check a model on some genuine pairs of a list; see `check_crops`."""
    chosen = _spread(np.flatnonzero(pairs.same & (pairs.first != pairs.second)), IMAGES // 2)
    names = identities_from_folders(pairs)
    indices = [int(index) for pair in chosen for index in (pairs.first[pair], pairs.second[pair])]
    labels = [names[index] if names else str(pair) for index, pair in zip(indices, np.repeat(chosen, 2), strict=True)]
    return _check(embedder, pairs, indices, labels, option)


def check_crops(embedder: Embedder, crops: Crops, labels: Sequence[object], *, option: str = OPTION
                ) -> Plausibility | None:
    """Check a model on crops, and notify the user of what is implausible.

    Args:
        embedder: the model; if it can be fed in several ways (`Embedder.fed_otherwise`) and does not separate people
            well, all ways are compared.
        crops: uint8 [images, size, size, 3], RGB.
        labels: who is in each image; all different if that is not known.
        option: the option that states the scaling of the pixels, up to its value.

    Returns:
        the result; None if there are too few images, or the model fails on them, which its evaluation will report.
    """
    identities = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    if len(crops) < MIN_IMAGES or len(np.unique(identities)) < 2:
        return None
    try:
        separation = _measure(embedder, crops, identities)
        result = Plausibility(len(crops), separation)
        if not separation.is_clear:
            result = _compare(embedder, crops, identities, separation, option)
    except ModelError:
        return None
    if result.note:
        notify(result.note)
    return result


def _check(embedder: Embedder, images: _Images, indices: Sequence[int], labels: Sequence[object], option: str
           ) -> Plausibility | None:
    crops, readable = [], []
    for index, label in zip(indices, labels, strict=True):
        try:
            crops.append(decode_crop(images.read(index), embedder.size, images.location(index)))
            readable.append(label)
        except DataError:  # the evaluation itself reports unreadable images
            continue
    return check_crops(embedder, np.stack(crops), readable, option=option) if crops else None


def _compare(embedder: Embedder, crops: Crops, identities: NDArray[np.int64], separation: Separation, option: str
             ) -> Plausibility:
    """Compare the ways in which a model can be fed."""
    others = {pixels: _measure(other, crops, identities) for pixels, other in embedder.fed_otherwise().items()}
    better = {pixels: other for pixels, other in others.items() if other.is_clearly_better(separation)}
    known = f"{embedder.name} was tried on {len(crops)} images: {separation.describe()}"
    if better:
        best = max(better, key=lambda pixels: (better[pixels].distance or 0, -better[pixels].median_cosine))
        note = (f"{known}; with {option}{best} it would reach {better[best].describe()}: it is probably fed in the "
                f"wrong way, use {option}{best}")
        return Plausibility(len(crops), separation, best, better[best], note)
    if separation.median_cosine >= ALIKE:
        return Plausibility(len(crops), separation, note=f"{known}: it gives different people nearly the same "
                            "embedding; is it trained, and are the images aligned crops?")
    return Plausibility(len(crops), separation)


def _measure(embedder: Embedder, crops: Crops, identities: NDArray[np.int64]) -> Separation:
    rows = embedder.embed(crops, flip=False, normalize=False)
    if not np.isfinite(rows).all() or not (np.abs(rows).sum(axis=1) > 0).all():
        raise ModelError(f"{embedder.name} gives embeddings that are zero or not finite")
    rows = l2_normalize_rows(rows).astype(np.float64)
    first, second = np.triu_indices(len(rows), 1)
    cosines = np.einsum("ij,ij->i", rows[first], rows[second])
    same = identities[first] == identities[second]
    genuine, impostor = cosines[same], cosines[~same]
    if len(genuine) < MIN_IMAGES // 2:
        return Separation(float(np.median(impostor)), None, None)
    ranks = np.searchsorted(np.sort(impostor), genuine, "left") + np.searchsorted(np.sort(impostor), genuine, "right")
    spread = np.sqrt((genuine.var() + impostor.var()) / 2)
    distance = float((genuine.mean() - impostor.mean()) / spread) if spread > 0 else 0.0
    return Separation(float(np.median(impostor)), float(ranks.mean() / (2 * len(impostor))), distance)


def _spread(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return up to ``count`` evenly spaced values."""
    return np.asarray(values[np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))])
