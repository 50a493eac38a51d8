"""Cosines as probabilities: a logistic calibration on verification pairs (Platt, 1999; Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from facekd.evaluation.classification.calibration import NUM_BINS, Bin
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.io.records import tuples_to_lists

MIN_PAIRS = 20
"""Genuine and impostor pairs that a calibration needs; with fewer nothing is said."""
REGULARIZATION = 1e3
"""scikit-learn's C. It bounds the slope where the cosines separate the pairs completely."""
PRIOR = 0.5
"""The probability that a pair shows one person before its cosine is known. All figures here are at equal priors."""
RANDOM_FOLDS = 5
"""Folds that are drawn where the list has one fold only."""


@dataclass(frozen=True)
class ProbabilityCalibration:
    """The probability that a pair shows one person, 1 / (1 + exp(-(slope * cosine + intercept))), at equal priors.

    Attributes:
        slope: of the log-odds over the cosine.
        intercept: of the log-odds.
        ece: expected calibration error on pairs of folds that the calibration was not fitted on, at equal priors.
        ece_limit: the error that a perfect calibration stays below in 95 of 100 cases on as many pairs with these
            probabilities; an ``ece`` above it is more than noise.
        bins: the reliability diagram of these pairs: mean probability, share of genuine pairs at equal priors, and
            number of pairs.
        pairs: number of pairs.
        folds: number of folds.
    """

    slope: float
    intercept: float
    ece: float
    ece_limit: float
    bins: tuple[Bin, ...]
    pairs: int
    folds: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {**tuples_to_lists(asdict(self)), "method": "logistic", "prior": PRIOR}

    def describe(self) -> str:
        """Format the calibration as a line for people."""
        return describe_calibration(self.to_dict())


def describe_calibration(calibration: Mapping[str, Any]) -> str:
    """Format a calibration as a line for people, also for a model card.

    Args:
        calibration: the fields of `ProbabilityCalibration.to_dict`.
    """
    cosines = ((f"{share:.0%}", (float(np.log(share / (1 - share))) - calibration["intercept"]) / calibration["slope"])
               for share in (0.5, 0.9, 0.99))
    return (f"probability of one person at equal priors: {', '.join(f'{share} at {cos:.3f}' for share, cos in cosines)}"
            f"; expected calibration error {calibration['ece']:.2%} (a perfect calibration stays below "
            f"{calibration['ece_limit']:.2%} on {calibration['pairs']:,} such pairs)")


def probability_of(cosine: float, calibration: Mapping[str, Any], prior: float = PRIOR) -> float:
    """Compute the probability that a pair shows one person.

    It is not closer to 0 or 1 than the number of pairs supports, 1 / (pairs + 2) at equal priors.

    Args:
        cosine: similarity of the pair.
        calibration: the fields of `ProbabilityCalibration.to_dict`.
        prior: the probability before the cosine is known, e.g. the share of genuine attempts.
    """
    log_odds = float(calibration["slope"]) * cosine + float(calibration["intercept"])
    limit = float(np.log(int(calibration["pairs"]) + 1))
    log_odds = min(max(log_odds, -limit), limit) + float(np.log(prior / (1 - prior)))
    return float(1 / (1 + np.exp(-log_odds)))


def calibrate(scores: FloatArray, same: BoolArray, fold: IntArray, *, draws: int = 200, seed: int = 0
              ) -> ProbabilityCalibration | None:
    """Fit a calibration on all pairs, and measure its error with calibrations that have not seen the pairs' fold.

    Args:
        scores: float64 [pairs], cosines.
        same: bool [pairs].
        fold: int64 [pairs]; of one fold only, `RANDOM_FOLDS` are drawn.
        draws: number of draws for ``ece_limit``.
        seed: seed of these draws and of drawn folds.

    Returns:
        The calibration; None if there are too few pairs, or genuine pairs do not have the higher cosines.
    """
    if min(same.sum(), (~same).sum()) < MIN_PAIRS:
        return None
    names = np.unique(fold)
    if len(names) == 1:
        names, fold = np.arange(RANDOM_FOLDS), np.random.default_rng(seed).integers(0, RANDOM_FOLDS, len(fold))
    slope, intercept = _fit(scores, same)
    held_out = np.empty(len(scores), np.float64)
    for name in names:
        training, tested = fold != name, fold == name
        if same[training].all() or not same[training].any():  # folds of one kind teach nothing about the other
            return None
        fold_slope, fold_intercept = _fit(scores[training], same[training])
        held_out[tested] = 1 / (1 + np.exp(-(fold_slope * scores[tested] + fold_intercept)))
    if slope <= 0:
        return None
    members = np.clip((held_out * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)[:, None] == np.arange(NUM_BINS)

    weights = _equal_priors(same)

    def error(labels: FloatArray) -> FloatArray:
        """Compute the expected calibration error for labels [batch, pairs]."""
        return np.asarray(np.abs((weights * (held_out - labels)) @ members).sum(axis=1) / weights.sum())

    generator = np.random.default_rng(seed)
    perfect = np.concatenate([error((generator.random((1, len(same))) < held_out).astype(np.float64))
                              for _ in range(draws)])
    return ProbabilityCalibration(
        slope, intercept, float(error(same[None].astype(np.float64))[0]), float(np.quantile(perfect, 0.95)),
        _bins(held_out, same, weights, members), len(scores), len(names))


def _fit(scores: FloatArray, same: BoolArray) -> tuple[float, float]:
    """Return slope and intercept; both kinds of pairs have the same total weight."""
    model = LogisticRegression(C=REGULARIZATION, class_weight="balanced", tol=1e-8, max_iter=1000)
    model.fit(scores[:, None], same)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _equal_priors(same: BoolArray) -> FloatArray:
    """Return weights float64 [pairs] with which genuine and impostor pairs have the same total."""
    return np.asarray(np.where(same, 1 / same.sum(), 1 / (~same).sum()), np.float64)


def _bins(probability: FloatArray, same: BoolArray, weights: FloatArray, members: BoolArray) -> tuple[Bin, ...]:
    bins = []
    for member in members.T:
        total = float(weights[member].sum())
        if not total:
            bins.append(Bin(None, None, 0))
            continue
        bins.append(Bin(float(weights[member] @ probability[member]) / total,
                        float(weights[member] @ same[member]) / total, int(member.sum())))
    return tuple(bins)


def reliability_points(calibration: Mapping[str, Any]) -> Sequence[tuple[float, float, int]]:
    """Return the bins that have pairs, for a reliability diagram: probability, share of genuine pairs, number."""
    return [(group["confidence"], group["accuracy"], group["count"]) for group in calibration["bins"]
            if group["count"]]
