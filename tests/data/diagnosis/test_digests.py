from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.diagnosis.digests import Digests, digest_bytes, empty_digests, find_repeated, find_shared


def random_digests(seed: int, count: int, kinds: int) -> tuple[Digests, NDArray[np.int64]]:
    """Return digests of few distinct contents, some of them empty, and labels."""
    random = np.random.default_rng(seed)
    digests = empty_digests(count)
    for index, kind in enumerate(random.integers(kinds, size=count).tolist()):
        if kind:
            digests[index] = digest_bytes(b"%d" % kind)
    return digests, random.integers(2, size=count)


def test_a_digest_is_blake2s_with_its_zeros() -> None:
    data = next(b"%d" % n for n in range(10_000) if hashlib.blake2b(b"%d" % n, digest_size=16).digest()[-1] == 0)
    digests = empty_digests(2)
    digests[0] = digest_bytes(data)
    digests[1] = digest_bytes(data)[:-1] + b"\1"
    assert digests[0].ljust(16, b"\0") == hashlib.blake2b(data, digest_size=16).digest()
    assert len(find_repeated(digests, np.zeros(2, np.int64))[0]) == 0


@pytest.mark.parametrize(("seed", "count", "kinds"), [(0, 40, 30), (1, 40, 4), (2, 1, 2), (4, 30, 1)])
def test_repeated_agrees_with_a_dictionary(seed: int, count: int, kinds: int) -> None:
    digests, labels = random_digests(seed, count, kinds)
    first: dict[bytes, int] = {}
    groups: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests.tolist()):
        if digest and (earlier := first.setdefault(digest, index)) != index:
            groups.setdefault(digest, [earlier]).append(index)
    pairs, has_several_labels = find_repeated(digests, labels)
    assert pairs.tolist() == [group[:2] for group in groups.values()]
    assert has_several_labels.tolist() == [len(set(labels[group].tolist())) > 1 for group in groups.values()]


@pytest.mark.parametrize(("one", "other"), [(40, 30), (1, 30), (30, 1), (30, 0)])
def test_shared_agrees_with_a_dictionary(one: int, other: int) -> None:
    first, second = random_digests(0, one, 20)[0], random_digests(1, other, 20)[0]
    last = {digest: index for index, digest in enumerate(first.tolist()) if digest}
    expected = [[last[digest], index] for index, digest in enumerate(second.tolist()) if digest in last]
    assert find_shared(first, second).tolist() == expected
