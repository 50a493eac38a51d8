"""Verification: do two images show the same person? Accuracy, ROC, TAR at FAR, EER (LFW protocol, Huang 2007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from facekd.data.pairs.pair_set import PairSet
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap, by_group
from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.evaluation.verification.all_impostors import measure_all_impostors
from facekd.evaluation.verification.probability import calibrate
from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.roc import RankedPairs
from facekd.models.embedder import Embedder

FARS = ("1e-1", "1e-2", "1e-3", "1e-4")
ROC_POINTS = 500


def evaluate_verification(
    embedder: Embedder, pairs: PairSet, flip: bool = True
) -> tuple[VerificationResult, FloatArray]:
    """Verify the pairs of a list with a model; each distinct image is embedded once.

    Args:
        embedder: the model.
        pairs: the pair list.
        flip: whether to sum the embeddings of image and mirror image.

    Returns:
        The result, and float64 [pairs], the cosine similarity of each pair in the order of the list.

    Raises:
        DataError: an image cannot be used, or the list lacks genuine or impostor pairs.
    """
    features = pair_features(embedder, pairs, flip)
    scores = pair_scores(features, pairs)
    result = replace(verify(scores, pairs.same, pairs.fold),
                     all_impostors=measure_all_impostors(features, pairs, scores),
                     probability=calibrate(scores, pairs.same, pairs.fold))
    return result, scores


def pair_features(embedder: Embedder, pairs: PairSet, flip: bool) -> FloatArray:
    """Embed each distinct image of a pair list, float64 [images, dimension], rows of unit length.

    Raises:
        DataError: an image cannot be used.
    """
    return embed_images(embedder, _PairImages(pairs), flip).astype(np.float64)


def pair_scores(features: FloatArray, pairs: PairSet) -> FloatArray:
    """Compute the cosine similarity of each pair in the order of the list, float64 [pairs]."""
    return np.asarray(np.einsum("ij,ij->i", features[pairs.first], features[pairs.second]))


def verify(
    scores: ArrayLike, same: ArrayLike, fold: ArrayLike, fars: Sequence[str] = FARS, resamples: int = 1000,
    seed: int = 0, *, pair: IntArray | None = None,
) -> VerificationResult:
    """Measure how well scores separate genuine pairs from impostor pairs.

    A threshold is the midpoint between two adjacent scores (beyond the ends: accept all, accept none); of equally
    good thresholds the highest is chosen. TAR at a FAR is the largest true accept rate of any threshold that accepts at
    most floor(FAR * impostors) impostor pairs. The EER is the point where the ROC curve, joined by straight lines,
    meets FAR = FRR. Intervals resample pairs within fold and class and choose every threshold again. A pair list does
    not name the people in it, so pairs that share a person count as independent, and the intervals are somewhat too
    narrow.

    Args:
        scores: float [pairs], higher means more similar.
        same: bool [pairs], True for two images of one person.
        fold: int [pairs]; with a single fold the threshold is chosen on the pairs it is tested on, and a note says so.
        fars: false accept rates as text, e.g. ``"1e-3"``; they are the keys of the result.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
        pair: int64 [pairs], the number of each score's pair if a pair has several scores: they are resampled together,
            and only different pairs count for which FARs are measurable. By default each score is of a pair of its own.

    Raises:
        DataError: lengths differ, a score is not finite, or there are no genuine or no impostor pairs.
    """
    checked = _checked(scores, same, fold)
    falling = np.argsort(-checked[0], kind="stable")
    ranked = RankedPairs(checked[0][falling], checked[1][falling], checked[2][falling])
    group = np.arange(len(falling)) if pair is None else np.unique(pair, return_inverse=True)[1][falling]
    impostors = int((~ranked.same).sum())
    usable, notes = measurable_fars(fars, len(np.unique(group[~ranked.same])))
    limits = [allowed_false_accepts(far, impostors) for far in usable]

    def figures(weights: Weights) -> FloatArray:
        """Compute accuracy and TARs."""
        accuracy = ranked.fold_accuracies(weights).mean(axis=1, keepdims=True)
        return np.concatenate([accuracy, ranked.tar(weights, limits)], axis=1)

    ones = np.ones((1, len(ranked.scores)), np.int32)
    accuracies = ranked.fold_accuracies(ones)[0]
    tars = dict(zip(usable, ranked.tar(ones, limits)[0].tolist(), strict=True))
    strata = np.empty(group.max() + 1, np.int64)
    strata[group] = ranked.fold * 2 + ranked.same
    intervals = [(low, high) for low, high in bootstrap(by_group(figures, group), strata, resamples, seed).tolist()]
    tar_intervals = dict(zip(usable, intervals[1:], strict=True))
    fpr, tpr, auc, eer = ranked.curve()
    thin = _thin_points(len(fpr))
    return VerificationResult(
        accuracy=float(accuracies.mean()),
        accuracy_std=float(accuracies.std()),
        accuracy_interval=intervals[0],
        auc=auc,
        eer=eer,
        threshold=ranked.best_threshold(),
        pairs=len(strata),
        tar={far: tars.get(far) for far in fars},
        tar_interval={far: tar_intervals.get(far) for far in fars},
        thresholds={far: ranked.threshold(allowed_false_accepts(far, impostors)) if far in usable else None
                    for far in fars},
        folds=len(accuracies),
        notes=(*_fold_notes(ranked), *notes),
        fpr=fpr[thin],
        tpr=tpr[thin],
    )


def extreme_pairs(scores: FloatArray, same: BoolArray, threshold: float, k: int) -> tuple[IntArray, IntArray]:
    """Find the correct and the wrong decisions that are farthest from a threshold.

    Args:
        scores: float [pairs].
        same: bool [pairs].
        threshold: pairs with a score above it are accepted.
        k: the largest number of pairs of each kind.

    Returns:
        Two int64 arrays of pair indices, farthest from the threshold first: correct decisions, wrong decisions.
    """
    distance = np.abs(scores - threshold)
    correct = (scores > threshold) == same
    order = np.argsort(-distance, kind="stable")
    return order[correct[order]][:k], order[~correct[order]][:k]


@dataclass(frozen=True)
class _PairImages:
    """The distinct images of a pair list, as `EncodedImages`."""

    pairs: PairSet

    def __len__(self) -> int:
        return len(self.pairs.images)

    def read(self, index: int) -> bytes:
        """See `EncodedImages.read`."""
        return self.pairs.read(index)

    def location(self, index: int) -> str:
        """See `EncodedImages.location`."""
        return self.pairs.location(index)


def _fold_notes(ranked: RankedPairs) -> list[str]:
    """Return a note where the folds make the accuracy less meaningful."""
    names = np.unique(ranked.fold)
    if len(names) == 1:
        return ["one fold only: the threshold was chosen on the pairs it is tested on, accuracy is optimistic"]
    one_kind = sum(len(set(ranked.same[ranked.fold == name].tolist())) == 1 for name in names)
    if not one_kind:
        return []
    return [f"{one_kind} of {len(names)} folds hold pairs of one kind only: accuracy means little here, "
            "AUC, EER and TAR do not depend on folds"]


def _thin_points(points: int) -> IntArray:
    """Choose the points of the ROC curve to plot, densely where the false accept rate is low."""
    positions = np.concatenate([np.linspace(0, 1, ROC_POINTS), np.geomspace(1 / points, 1, ROC_POINTS)])
    return np.unique((positions * (points - 1)).round().astype(np.int64))


def _checked(scores: ArrayLike, same: ArrayLike, fold: ArrayLike) -> tuple[FloatArray, BoolArray, IntArray]:
    """Convert the inputs of `verify` to arrays and check them."""
    score_array = np.asarray(scores, np.float64)
    same_array = np.asarray(same, np.bool_)
    fold_array = np.asarray(fold, np.int64)
    if score_array.ndim != 1 or score_array.shape != same_array.shape or score_array.shape != fold_array.shape:
        raise DataError(f"{score_array.shape} scores, {same_array.shape} truths, {fold_array.shape} folds; "
                        "a pair needs one of each")
    not_finite = int((~np.isfinite(score_array)).sum())
    if not_finite:
        raise DataError(f"{not_finite} of {len(score_array)} pair scores are not finite; check the model")
    if same_array.all() or not same_array.any():
        missing = "impostor (same = 0)" if len(same_array) and same_array.all() else "genuine (same = 1)"
        raise DataError(f"none of the {len(same_array)} pairs is {missing}; verification needs pairs of both kinds")
    return score_array, same_array, fold_array
