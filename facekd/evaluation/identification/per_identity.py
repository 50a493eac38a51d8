"""Figures by person: what rates are made of, so that people can be drawn again afterwards."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.identification.mates import Floats, Ints, Mates
from facekd.evaluation.identification.top_scores import Impostors
from facekd.evaluation.statistics.bootstrap import Weights
from facekd.evaluation.statistics.far import allowed
from facekd.utils.files import atomic

RANKS = 100
EDGES = 2000
"""Genuine scores at which the resamples look for their thresholds: TAR intervals are resolved to 1/2000."""


@dataclass(frozen=True, eq=False)
class People:
    """Counts of every person.

    Attributes:
        names: int64 [people], labels.
        sizes: int64 [people], probes.
        hits: int64 [people, 100], ordered pairs whose mate is at rank 1, 2, ... or better.
        accepted: int64 [people, edges], genuine pairs that score at least each edge; the edges rise to infinity.
        false: int64 [people, edges], impostor pairs that do.
        distractors: number of them.
    """

    names: Ints
    sizes: Ints
    hits: Ints
    accepted: Ints
    false: Ints
    distractors: int

    @property
    def pairs(self) -> Ints:
        """int64 [people], ordered pairs."""
        return self.sizes * (self.sizes - 1)

    def figures(self, weights: Weights, fars: Sequence[str]) -> Floats:
        """Rank-1 and the TAR at each FAR, float64 [batch, 1 + fars], with people counted int32 [batch, people] times.

        A TAR is that of the lowest edge which few enough impostor pairs reach.
        """
        counts = weights.astype(np.float64)
        pairs = counts @ self.pairs
        columns = [counts @ self.hits[:, 0] / pairs]
        impostors = (counts @ self.sizes).astype(np.int64) * self.distractors
        accepted, false = counts @ self.accepted, counts @ self.false
        for far in fars:
            first = (false <= allowed(far, impostors)[:, None]).argmax(axis=1)  # the edges rise: it accepts the most
            columns.append(accepted[np.arange(len(counts)), first] / (pairs / 2))
        return np.column_stack(columns)


def write_people(path: Path, counts: People) -> None:
    """Write counts as ``.npz``, atomically."""
    with atomic(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **{field.name: getattr(counts, field.name) for field in fields(counts)})


def read_people(path: Path) -> People:
    """Read what `write_people` wrote.

    Raises:
        DataError: absent, or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            values = {field.name: content[field.name] for field in fields(People)}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        raise DataError(
            f"{path} cannot be read ({problem}); 'facekd eval megaface' writes it beside its result, run it again"
        ) from problem
    return People(**{**values, "distractors": int(values["distractors"])})


def people(mates: Mates, ahead: Ints, impostors: Impostors, distractors: int, lowest: float) -> People:
    """Count for every person.

    Args:
        mates: the probes and their pairs.
        ahead: int64 [pairs], distractors ahead of each mate.
        impostors: their highest scores.
        distractors: number of them.
        lowest: impostor scores of at least this much are all among ``impostors``.
    """
    count = len(mates.sizes)
    owner = mates.person[mates.probe]
    ranks = np.minimum(ahead, RANKS)
    hits = _table(owner, ranks, count, RANKS + 1)[:, :RANKS].cumsum(axis=1)
    genuine = mates.genuine
    scores = np.sort(mates.score[genuine])
    above = scores[scores >= lowest]
    edges = np.append(above[np.linspace(0, len(above) - 1, min(EDGES, len(above))).astype(np.int64)], np.inf)
    accepted = _reached(owner[genuine], mates.score[genuine], edges, count)
    false = _reached(mates.person[impostors.probe], impostors.score, edges, count)
    return People(mates.names, mates.sizes, hits, accepted, false, distractors)


def _reached(owner: Ints, scores: NDArray[np.floating], edges: Floats, people: int) -> Ints:
    """int64 [people, edges], scores of each owner that are at least so high."""
    place = np.searchsorted(edges, scores, "right")
    return _table(owner, place, people, len(edges) + 1)[:, :0:-1].cumsum(axis=1)[:, ::-1]


def _table(row: Ints, column: Ints, rows: int, columns: int) -> Ints:
    """int64 [rows, columns], how often each pair of numbers occurs."""
    return np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
