"""Open-set 1:N identification: is the right identity found, and none for people outside the gallery? (ISO/IEC 19795-1).

The protocols of IJB use it too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekd.data.feature_set import FeatureSet
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import GalleryScores, rank_against_gallery
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import allowed_false_accepts, weighted_tar
from facekd.evaluation.types import FloatArray, Int32Array, IntArray

RANKS = (1, 5, 10)
CMC_RANKS = 100
FPIRS = ("1e-2", "1e-1")


def identify_open_set(probes: FeatureSet, gallery: FeatureSet, fpirs: Sequence[str] = FPIRS, resamples: int = 1000,
                      seed: int = 0) -> OpenSetResult:
    """Identify every probe in a gallery.

    A probe's rank is one more than the number of other identities in the gallery that score at least as high as its
    mate (one with exactly the mate's score is ahead of it); an identity scores as high as the best of its rows. Probes
    whose identity is not in the gallery have no rank: they are the impostors of the open set, each with its highest
    score; at most floor(FPIR * such probes) of them may be above the threshold. Intervals resample people, with all
    their probes.

    Args:
        probes: the probes, with labels.
        gallery: the gallery, with labels.
        fpirs: false positive identification rates as text, e.g. ``"1e-2"``; they are the keys of the result.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: labels are missing, dimensions differ, a feature is zero or not finite, or no probe has a mate.
    """
    return open_set_result([rank_against_gallery(probes, gallery)], fpirs, resamples, seed)


def open_set_result(gallery_scores: Sequence[GalleryScores], fpirs: Sequence[str] = FPIRS, resamples: int = 1000,
                    seed: int = 0) -> OpenSetResult:
    """Compute the rates of one gallery, or the mean of each rate over several galleries.

    Args:
        gallery_scores: scores of the same probes, in one order, in each gallery.
        fpirs: false positive identification rates as text.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: no probe has a mate in one of the galleries.
    """
    labels, identity = np.unique(gallery_scores[0].labels, return_inverse=True)
    galleries = [GalleryRates(scores, identity, len(labels)) for scores in gallery_scores]
    unmated = min(rates.unmated for rates in galleries)
    usable = [fpir for fpir in fpirs if allowed_false_accepts(fpir, unmated) >= 1]
    notes = [f"TPIR at FPIR {fpir} is not given: {unmated:,} probes without a mate allow less than one false positive"
             for fpir in fpirs if fpir not in usable]

    def figures(weights: Weights) -> FloatArray:
        """Compute the rates at `RANKS` and the TPIRs."""
        ranks = np.mean([rates.ranks(weights) for rates in galleries], axis=0)
        tpirs = [np.mean([rates.tpirs(row, usable) for rates in galleries], axis=0) for row in weights]
        return np.column_stack([ranks[:, [rank - 1 for rank in RANKS]], np.stack(tpirs)])

    # One bit per gallery: in every resample as many people have a mate in each gallery as there are.
    strata = sum((1 << bit) * (rates.hits[:, -1] > 0) for bit, rates in enumerate(galleries))
    resampled = bootstrap(figures, np.asarray(strata, np.int64), resamples, seed)
    intervals = [(low, high) for low, high in resampled.tolist()]
    ones = np.ones((1, len(labels)), np.int32)
    values = figures(ones)[0].tolist()
    tpir = dict(zip(usable, values[len(RANKS) :], strict=True))
    tpir_intervals = dict(zip(usable, intervals[len(RANKS) :], strict=True))
    thresholds = dict(zip(usable, galleries[0].thresholds(usable), strict=True)) if len(galleries) == 1 else {}
    return OpenSetResult(
        rank=dict(zip(RANKS, values, strict=False)),
        rank_interval=dict(zip(RANKS, intervals, strict=False)),
        cmc=tuple(np.mean([rates.ranks(ones)[0] for rates in galleries], axis=0).tolist()),
        tpir={fpir: tpir.get(fpir) for fpir in fpirs},
        tpir_interval={fpir: tpir_intervals.get(fpir) for fpir in fpirs},
        thresholds={fpir: thresholds.get(fpir) for fpir in fpirs},
        mated=sum(rates.mated for rates in galleries),
        unmated=sum(rates.unmated for rates in galleries),
        identities=len(labels),
        gallery_identities=sum(scores.identities for scores in gallery_scores),
        galleries=len(galleries),
        notes=tuple(notes),
    )


class GalleryRates:
    """The rates of one gallery, with each person counted as often as in a resample.

    Args:
        scores: ranks and scores of the probes.
        identity: int64 [probes], the person of each probe, numbered from 0.
        identities: number of people among the probes.

    Raises:
        DataError: no probe has a mate.

    Attributes:
        hits: int64 [identities, 101], probes whose mate is at rank 1, 2, ... 100 or better, and all probes with a mate.
        mated: number of probes with a mate.
        unmated: number of probes without a mate.
    """

    def __init__(self, scores: GalleryScores, identity: IntArray, identities: int) -> None:
        mated = scores.mated
        self.mated = int(mated.sum())
        self.unmated = int((~mated).sum())
        if not self.mated:
            raise DataError(f"none of the {len(mated)} probes shows a person of the gallery; label both in one way")
        columns = CMC_RANKS + 1
        cell = identity[mated] * columns + np.minimum(scores.rank[mated] - 1, CMC_RANKS)
        self.hits = np.bincount(cell, minlength=identities * columns).reshape(identities, columns).cumsum(axis=1)
        # Only a mate at rank 1 can be a true positive, whatever the threshold.
        mate_score = np.where(scores.rank == 1, scores.mate_score, -np.inf)
        self._genuine, self._genuine_identity = _sort_falling(mate_score[mated], identity[mated])
        self._impostors, self._impostor_identity = _sort_falling(scores.non_mate_score[~mated], identity[~mated])

    def ranks(self, weights: Weights) -> FloatArray:
        """Compute the CMC, float64 [batch, 100], with people counted ``weights`` [batch, identities] times."""
        hits = weights.astype(np.float64) @ self.hits
        rates: FloatArray = hits[:, :-1] / hits[:, -1:]
        return rates

    def tpirs(self, weights: Int32Array, fpirs: Sequence[str]) -> FloatArray:
        """Compute the TPIR at each FPIR, float64 [fpirs], with people counted ``weights`` [identities] times."""
        impostor_weights = weights[self._impostor_identity]
        total = np.array(impostor_weights.sum(dtype=np.int64))
        limits = np.array([allowed_false_accepts(fpir, total) for fpir in fpirs], np.int64)
        return weighted_tar(self._genuine, weights[self._genuine_identity], self._impostors, impostor_weights, limits)

    def thresholds(self, fpirs: Sequence[str]) -> list[float]:
        """Return the threshold at each FPIR."""
        return [float(self._impostors[allowed_false_accepts(fpir, self.unmated)]) for fpir in fpirs]


def _sort_falling(scores: FloatArray, identity: IntArray) -> tuple[FloatArray, IntArray]:
    order = np.argsort(-scores, kind="stable")
    return scores[order], identity[order]
