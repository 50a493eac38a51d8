"""Counts of every identity: rates are computed from them, also for bootstrap resamples of the identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.top_scores import TopScores
from facekd.evaluation.statistics.bootstrap import Weights
from facekd.evaluation.statistics.far import allowed_false_accepts
from facekd.evaluation.types import FloatArray, IntArray
from facekd.io.arrays import read_npz
from facekd.io.files import atomic_write
from facekd.io.reading import reading

RANKS = 100
NUM_EDGES = 2000
"""Genuine scores that are candidate thresholds of the resamples: TAR intervals are resolved to 1/2000."""


@dataclass(frozen=True, eq=False)
class PerIdentityCounts:
    """Counts of every identity.

    Attributes:
        labels: int64 [identities].
        sizes: int64 [identities], number of probes.
        hits: int64 [identities, 100], ordered pairs whose mate is at rank 1, 2, ... or better.
        genuine_accepts: int64 [identities, edges], genuine pairs that score at least each edge; the edges rise to
            infinity.
        false_accepts: int64 [identities, edges], impostor pairs that score at least each edge.
        distractors: number of distractors.
    """

    labels: IntArray
    sizes: IntArray
    hits: IntArray
    genuine_accepts: IntArray
    false_accepts: IntArray
    distractors: int

    @property
    def pairs(self) -> IntArray:
        """Return int64 [identities], number of ordered pairs."""
        return self.sizes * (self.sizes - 1)

    def rates(self, weights: Weights, fars: Sequence[str]) -> FloatArray:
        """Compute rank-1 and the TAR at each FAR, with each identity counted as often as its weight.

        A TAR is that of the lowest edge that few enough impostor pairs reach.

        Args:
            weights: int32 [batch, identities].
            fars: false accept rates as text.

        Returns:
            float64 [batch, 1 + fars].
        """
        counts = weights.astype(np.float64)
        pairs = counts @ self.pairs
        columns = [counts @ self.hits[:, 0] / pairs]
        impostors = (counts @ self.sizes).astype(np.int64) * self.distractors
        genuine_accepts = counts @ self.genuine_accepts
        false_accepts = counts @ self.false_accepts
        for far in fars:
            # The edges rise, so the first one with few enough false accepts has the most genuine accepts.
            first = (false_accepts <= allowed_false_accepts(far, impostors)[:, None]).argmax(axis=1)
            columns.append(genuine_accepts[np.arange(len(counts)), first] / (pairs / 2))
        return np.column_stack(columns)


def write_identity_counts(path: Path, counts: PerIdentityCounts) -> None:
    """Write counts as ``.npz``, atomically."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{field.name: getattr(counts, field.name) for field in fields(counts)})


def read_identity_counts(path: Path) -> PerIdentityCounts:
    """Read a file of `write_identity_counts`.

    Raises:
        DataError: the file is absent, damaged, of another kind, or written by an older facekd.
    """
    remedy = "'facekd eval megaface' writes it next to its result, run it again"
    content = read_npz(path, remedy=remedy)
    with reading(path, remedy=remedy):
        values = {field.name: _counts(content, field.name) for field in fields(PerIdentityCounts)}
        _check(values)
    return PerIdentityCounts(**{**values, "distractors": int(values["distractors"])})  # type: ignore[arg-type]


def _counts(content: Mapping[str, NDArray[Any]], name: str) -> IntArray:
    """Return one array of a file as int64.

    Raises:
        ValueError: it is missing or holds no whole numbers.
    """
    if name not in content:
        raise ValueError(f"it has no array '{name}'")
    if content[name].dtype.kind not in "iu":
        raise ValueError(f"'{name}' holds no whole numbers")
    return content[name].astype(np.int64)


def _check(values: Mapping[str, IntArray]) -> None:
    """Check that the arrays of a file are counts of the same identities.

    Raises:
        ValueError: they are not.
    """
    identities, edges = len(np.atleast_1d(values["sizes"])), values["false_accepts"].shape[-1:]
    shapes = {"labels": (identities,), "sizes": (identities,), "hits": (identities, RANKS), "distractors": (),
              "genuine_accepts": (identities, *edges), "false_accepts": (identities, *edges)}
    for name, shape in shapes.items():
        array = values[name]
        if array.shape != shape or (name != "labels" and array.size and not 0 <= array.min() <= array.max() < 1 << 40):
            raise ValueError(f"'{name}' {array.shape} does not fit the others, or is out of range")
    if edges == (0,) or not identities or values["sizes"].max() < 2 or values["false_accepts"][:, -1].any():
        raise ValueError("its counts cannot be of identities with two probes or more")
    if int(values["sizes"].sum()) * int(values["distractors"]) >= 1 << 62:
        raise ValueError("it counts more impostor pairs than there can be")


def count_per_identity(mates: Mates, ahead: IntArray, impostors: TopScores, distractors: int,
                       lowest_complete: float) -> PerIdentityCounts:
    """Count hits and accepts of every identity.

    Args:
        mates: the probes and their pairs.
        ahead: int64 [pairs], distractors ahead of each mate.
        impostors: the highest impostor scores, by probe and distractor.
        distractors: number of distractors.
        lowest_complete: all impostor scores of at least this are in ``impostors``.
    """
    identities = len(mates.sizes)
    owner = mates.identity[mates.probe]
    ranks = np.minimum(ahead, RANKS)
    hits = _count_pairs(owner, ranks, identities, RANKS + 1)[:, :RANKS].cumsum(axis=1)
    genuine = mates.genuine
    scores = np.sort(mates.score[genuine])
    # Below the lowest complete score the false accepts are unknown, so no edge is there.
    candidates = scores[scores >= lowest_complete]
    chosen = np.linspace(0, len(candidates) - 1, min(NUM_EDGES, len(candidates))).astype(np.int64)
    edges = np.append(candidates[chosen], np.inf)
    return PerIdentityCounts(
        labels=mates.labels,
        sizes=mates.sizes,
        hits=hits,
        genuine_accepts=_count_at_least(owner[genuine], mates.score[genuine], edges, identities),
        false_accepts=_count_at_least(mates.identity[impostors.rows], impostors.scores, edges, identities),
        distractors=distractors,
    )


def _count_at_least(owner: IntArray, scores: NDArray[np.floating], edges: FloatArray, identities: int) -> IntArray:
    """Return int64 [identities, edges], the number of scores of each owner that are at least each edge."""
    edges_reached = np.searchsorted(edges, scores, "right")
    return _count_pairs(owner, edges_reached, identities, len(edges) + 1)[:, :0:-1].cumsum(axis=1)[:, ::-1]


def _count_pairs(row: IntArray, column: IntArray, rows: int, columns: int) -> IntArray:
    """Return int64 [rows, columns], how often each pair of indices occurs."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
