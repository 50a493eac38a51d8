from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.diagnosis.digests import Digests, digest, empty, repeated, shared


def some(seed: int, count: int, kinds: int) -> tuple[Digests, NDArray[np.int64]]:
    """Digests of few contents, some of them absent, and labels."""
    random = np.random.default_rng(seed)
    digests = empty(count)
    for place, kind in enumerate(random.integers(kinds, size=count).tolist()):
        if kind:
            digests[place] = digest(b"%d" % kind)
    return digests, random.integers(2, size=count)


def test_a_digest_is_blake2s_with_its_zeros() -> None:
    ends = next(b"%d" % n for n in range(10_000) if hashlib.blake2b(b"%d" % n, digest_size=16).digest()[-1] == 0)
    digests = empty(2)
    digests[0] = digest(ends)
    digests[1] = digest(ends)[:-1] + b"\1"
    assert digests[0].ljust(16, b"\0") == hashlib.blake2b(ends, digest_size=16).digest()
    assert len(repeated(digests, np.zeros(2, np.int64))[0]) == 0


@pytest.mark.parametrize(("seed", "count", "kinds"), [(0, 40, 30), (1, 40, 4), (2, 1, 2), (4, 30, 1)])
def test_repeated_agrees_with_a_dictionary(seed: int, count: int, kinds: int) -> None:
    digests, labels = some(seed, count, kinds)
    first: dict[bytes, int] = {}
    groups: dict[bytes, list[int]] = {}
    for place, one in enumerate(digests.tolist()):
        if one and (earlier := first.setdefault(one, place)) != place:
            groups.setdefault(one, [earlier]).append(place)
    pairs, several = repeated(digests, labels)
    assert pairs.tolist() == [group[:2] for group in groups.values()]
    assert several.tolist() == [len(set(labels[group].tolist())) > 1 for group in groups.values()]


@pytest.mark.parametrize(("one", "other"), [(40, 30), (1, 30), (30, 1), (30, 0)])
def test_shared_agrees_with_a_dictionary(one: int, other: int) -> None:
    ours, theirs = some(0, one, 20)[0], some(1, other, 20)[0]
    last = {digest: place for place, digest in enumerate(ours.tolist()) if digest}
    expected = [[last[digest], place] for place, digest in enumerate(theirs.tolist()) if digest in last]
    assert shared(ours, theirs).tolist() == expected
