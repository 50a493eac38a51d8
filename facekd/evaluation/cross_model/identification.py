"""Open-set identification across two models: probes of the new model in a gallery that the old one made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekd.data.feature_set import FeatureSet
from facekd.evaluation.cross_model.result import COMPARED, CrossModelResult, KeptThreshold
from facekd.evaluation.identification.gallery import GalleryScores, rank_against_gallery
from facekd.evaluation.identification.open_set import FPIRS, RANKS, GalleryRates, open_set_result
from facekd.evaluation.identification.open_set_result import OpenSetResult
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.types import FloatArray


def identify_across_models(
    probes: tuple[FeatureSet, FeatureSet], galleries: tuple[FeatureSet, FeatureSet], *, names: tuple[str, str],
    converted: FeatureSet | None = None, notes: Sequence[str] = (), fpirs: Sequence[str] = FPIRS,
    resamples: int = 1000, seed: int = 0,
) -> CrossModelResult[OpenSetResult]:
    """Identify the probes in the gallery by the old model, by the new one, and by new probes in the old gallery.

    Args:
        probes: the same probes by the old and by the new model, with labels.
        galleries: the same gallery by the old and by the new model, with labels.
        names: names of the old and the new model.
        converted: the gallery that new probes meet in place of the old one: the same rows, mapped to the new model.
        notes: sentences about the models.
        fpirs: false positive identification rates as text.
        resamples: number of bootstrap resamples; people are resampled, with all their probes.
        seed: seed of the bootstrap.

    Raises:
        DataError: labels are missing, dimensions differ, a feature is zero or not finite, or no probe has a mate.
    """
    old_probes, new_probes = probes
    old_gallery, new_gallery = galleries
    scores = {
        "old/old": rank_against_gallery(old_probes, old_gallery),
        "new/new": rank_against_gallery(new_probes, new_gallery),
        "new/old": rank_against_gallery(new_probes, old_gallery if converted is None else converted),
    }
    results = {combination: open_set_result([values], fpirs, resamples, seed)
               for combination, values in scores.items()}
    measured = [fpir for fpir, rate in results["old/old"].tpir.items() if rate is not None]
    differences = {other: compare_open_set(scores["new/old"], scores[other], measured, resamples=resamples, seed=seed)
                   for other in COMPARED}
    kept = [_keep(f"FPIR {fpir}", limit, combination, scores[combination])
            for fpir, limit in results["old/old"].thresholds.items() if limit is not None
            for combination in ("new/new", "new/old")]
    return CrossModelResult(*names, results, differences, tuple(kept), tuple(notes))


def compare_open_set(first: GalleryScores, second: GalleryScores, fpirs: Sequence[str], *, resamples: int = 1000,
                     seed: int = 0) -> list[Difference]:
    """Compute the differences of two identifications of the same probes among the same people, first - second.

    Args:
        first: scores of the first combination.
        second: scores of the second one, of the same probes in the same order.
        fpirs: false positive identification rates that the probes can measure.
        resamples: number of bootstrap resamples; the same people are drawn for both.
        seed: seed of the bootstrap.

    Returns:
        ``rank-1``, ``rank-5`` and ``rank-10``, then ``TPIR at FPIR ...``.
    """
    labels, identity = np.unique(first.labels, return_inverse=True)
    both = [GalleryRates(scores, identity, len(labels)) for scores in (first, second)]

    def figures(rates: GalleryRates, weights: Weights) -> FloatArray:
        """Compute the rates at the ranks and the TPIRs of one combination."""
        ranks = rates.ranks(weights)[:, [rank - 1 for rank in RANKS]]
        return np.column_stack([ranks, np.stack([rates.tpirs(row, fpirs) for row in weights])])

    is_mated = (both[0].hits[:, -1] > 0).astype(np.int64)
    intervals = bootstrap(lambda weights: figures(both[0], weights) - figures(both[1], weights), is_mated, resamples,
                          seed).tolist()
    ones = np.ones((1, len(labels)), np.int32)
    names = [*(f"rank-{rank}" for rank in RANKS), *(f"TPIR at FPIR {fpir}" for fpir in fpirs)]
    return [Difference(name, float(one), float(other), (low, high)) for name, one, other, (low, high) in
            zip(names, figures(both[0], ones)[0], figures(both[1], ones)[0], intervals, strict=True)]


def _keep(chosen_for: str, threshold: float, combination: str, scores: GalleryScores) -> KeptThreshold:
    """Apply a threshold of old/old to the scores of another combination."""
    mated = scores.mated
    is_found = (scores.rank[mated] == 1) & (scores.mate_score[mated] > threshold)
    is_false = scores.non_mate_score[~mated] > threshold
    return KeptThreshold(chosen_for, threshold, combination, float(is_false.mean()), float(is_found.mean()))
