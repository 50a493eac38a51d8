"""Find identical images by sorting their digests; this takes a few dozen bytes of memory per image."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.bytes_]
"""BLAKE2b digests of encoded images, 16 bytes each; ``b""`` for images without one. Equal digests: equal bytes."""


def empty_digests(count: int) -> Digests:
    """Return an array of ``count`` empty digests."""
    return np.zeros(count, "S16")


def digest_bytes(data: bytes) -> bytes:
    """Return the digest of some bytes, 16 bytes long."""
    return hashlib.blake2b(data, digest_size=16).digest()


def find_repeated(digests: Digests, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the images that occur more than once in a set.

    Args:
        digests: the digests of the images, [images].
        labels: the labels of the images, int64 [images].

    Returns:
        int64 [n, 2], the indices of the first two images of each repeated digest, sorted by the second index; and bool
        [n], whether the images of the digest have more than one label.
    """
    order = digests.argsort(kind="stable")
    ordered = digests[order]
    equals_next = (ordered[1:] == ordered[:-1]) & (ordered[1:] != b"")
    # After sorting, a group of equal images is a run: all but its first image equal their predecessor.
    equals_previous = np.append(False, equals_next)
    in_group = equals_previous | np.append(equals_next, False)
    images = order[in_group]
    group_starts = np.flatnonzero(~equals_previous[in_group])
    group_labels = labels[images]
    lowest = np.minimum.reduceat(group_labels, group_starts)
    highest = np.maximum.reduceat(group_labels, group_starts)
    pairs = np.stack([images[group_starts], images[group_starts + 1]], axis=1)
    by_second = pairs[:, 1].argsort()
    return pairs[by_second], (lowest < highest)[by_second]


def find_shared(first: Digests, second: Digests) -> NDArray[np.int64]:
    """Find the images that occur in two sets.

    Args:
        first: the digests of the first set.
        second: the digests of the second set.

    Returns:
        int64 [n, 2]: for each image of ``second`` that ``first`` contains, in the order of ``second``, the index of the
        last equal image in ``first`` and its own index.
    """
    order = first.argsort(kind="stable")
    # searchsorted gives -1 where all of ``first`` is larger; -1 then indexes the largest digest, which is not equal.
    positions = np.searchsorted(first, second, side="right", sorter=order) - 1
    matches = np.flatnonzero((first[order[positions]] == second) & (second != b""))
    return np.stack([order[positions[matches]], matches], axis=1)
