"""Verification across two models: one image of each pair is embedded by the new model, the other by the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facekd.data.pairs.pair_set import PairSet
from facekd.evaluation.cross_model.result import COMPARED, CrossModelResult, KeptThreshold
from facekd.evaluation.types import BoolArray, FloatArray
from facekd.evaluation.verification.all_impostors import measure_all_impostors
from facekd.evaluation.verification.comparison import compare_verification, resampling_groups
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import FARS, pair_scores, verify

ORDERS_NOTE = ("new/old counts both orders of a pair, each image once by the new model and once by the old one; both "
               "are drawn together in the intervals")


def verify_pairs_across_models(
    old: FloatArray, new: FloatArray, pairs: PairSet, *, names: tuple[str, str], gallery: FloatArray | None = None,
    notes: Sequence[str] = (), fars: Sequence[str] = FARS, resamples: int = 1000, seed: int = 0,
) -> CrossModelResult[VerificationResult]:
    """Verify the pairs of a list by the old model, by the new one, and with one image by each.

    A mixed pair has two scores: the first image by the new model and the second by the old one, and the other way
    round. Both are counted as comparisons (pooled), because a product sees one of them; their average would be a
    score that no product computes, and better than either. Whichever FAR the pairs can measure, the mixed pairs can
    measure too; a bootstrap resample has both scores of a pair or none. The differences resample people where the list
    names them, otherwise pairs.

    Args:
        old: float64 [images, dimension], the images by the old model, rows of unit length.
        new: float64 [images, dimension], the images by the new model, rows of unit length.
        pairs: the pair list.
        names: names of the old and the new model.
        gallery: float64 [images, dimension], what the new model's embeddings are compared with, by default ``old``;
            other rows are those of a converted gallery, and may be longer or shorter than ``old``.
        notes: sentences about the models.
        fars: false accept rates as text.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: the list lacks genuine or impostor pairs.
    """
    gallery = old if gallery is None else gallery
    mixed = mixed_scores(new, gallery, pairs)
    scores = {"old/old": pair_scores(old, pairs), "new/new": pair_scores(new, pairs), "new/old": mixed}
    same = np.asarray(np.tile(pairs.same, 2), np.bool_)
    fold, pair = (np.asarray(np.tile(values, 2), np.int64) for values in (pairs.fold, np.arange(len(pairs))))
    results = {
        combination: replace(
            verify(scores[combination], pairs.same, pairs.fold, fars, resamples, seed),
            all_impostors=measure_all_impostors(rows, pairs, scores[combination], seed=seed))
        for combination, rows in (("old/old", old), ("new/new", new))
    }
    results["new/old"] = replace(
        verify(mixed, same, fold, fars, resamples, seed, pair=pair),
        all_impostors=measure_all_impostors(new, pairs, mixed, others=gallery, seed=seed))
    people = resampling_groups(pairs)
    groups = pair if people is None else np.asarray(np.tile(people, 2), np.int64)
    measured = [far for far, tar in results["old/old"].tar.items() if tar is not None]
    # Every score of one model counts twice beside the two mixed scores of its pair, which changes none of its rates.
    differences = {
        other: compare_verification(mixed, np.tile(scores[other], 2), same, fold, groups, fars=measured, auc=True,
                                    resamples=resamples, seed=seed)
        for other in COMPARED
    }
    kept = [
        _keep(f"FAR {far}", limit, combination, scores[combination], truth)
        for far, limit in results["old/old"].thresholds.items() if limit is not None
        for combination, truth in (("new/new", pairs.same), ("new/old", same))
    ]
    return CrossModelResult(*names, results, differences, tuple(kept), (*notes, ORDERS_NOTE))


def mixed_scores(new: FloatArray, old: FloatArray, pairs: PairSet) -> FloatArray:
    """Compute the cosine similarities across models, float64 [2 x pairs].

    Args:
        new: float64 [images, dimension], rows of unit length.
        old: float64 [images, dimension], rows of unit length.
        pairs: the pair list.

    Returns:
        for each pair its first image by the new model and its second by the old one; then, in the same order, its
        second by the new model and its first by the old one.
    """
    first, second = pairs.first, pairs.second
    return np.concatenate([np.einsum("ij,ij->i", new[first], old[second]),
                           np.einsum("ij,ij->i", new[second], old[first])])


def _keep(chosen_for: str, threshold: float, combination: str, scores: FloatArray, same: BoolArray) -> KeptThreshold:
    """Apply a threshold of old/old to the scores of another combination."""
    accepted = scores > threshold
    rates = float(accepted[~same].mean()), float(accepted[same].mean())
    return KeptThreshold(chosen_for, threshold, combination, *rates)
