"""Equal images by their digests, found by sorting: a few dozen bytes an image, however many there are."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.bytes_]
"""BLAKE2b of encoded images in 16 bytes each, ``b""`` where there is none: equal bytes, equal image."""


def empty(count: int) -> Digests:
    """Digests [count], none yet."""
    return np.zeros(count, "S16")


def digest(data: bytes) -> bytes:
    """The 16 bytes that stand for these."""
    return hashlib.blake2b(data, digest_size=16).digest()


def repeated(digests: Digests, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What stands in one set more than once.

    Args:
        digests: [images].
        labels: int64 [images].

    Returns:
        int64 [n, 2], the first two images of each such digest, in the order in which the second is met; and bool [n],
        whether not all images of this digest have the same label.
    """
    order = digests.argsort(kind="stable")
    ordered = digests[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != b"")
    again, ahead = np.append(False, same), np.append(same, False)
    images, begins = order[again | ahead], np.flatnonzero(~again[again | ahead])
    people = labels[images]
    several = np.minimum.reduceat(people, begins) < np.maximum.reduceat(people, begins)
    pairs = np.stack([images[begins], images[begins + 1]], axis=1)
    met = pairs[:, 1].argsort()
    return pairs[met], several[met]


def shared(one: Digests, other: Digests) -> NDArray[np.int64]:
    """What stands in two sets.

    Args:
        one: digests of one set.
        other: those of another.

    Returns:
        int64 [n, 2]: images of ``other``, in its order, behind the last equal one of ``one``.
    """
    order = one.argsort(kind="stable")
    place = np.searchsorted(one, other, side="right", sorter=order) - 1  # -1: the last one, which is not equal
    found = np.flatnonzero((one[order[place]] == other) & (other != b""))
    return np.stack([order[place[found]], found], axis=1)
