"""The two thresholds of `RankCounter`, chosen for the least counting time on a sample of the distractors."""

from __future__ import annotations

import numpy as np

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Mates

LOOKUP_NS = 60.0
"""Nanoseconds to look a score up among the shallow mates (measured on Zen 3)."""
COMPARISON_NS = 0.9
"""Nanoseconds to compare a score with a deep mate (measured on Zen 3)."""
SAMPLED_SCORES = 4_000_000
"""Approximate number of scores that the thresholds are estimated on."""
CANDIDATE_SHARES = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5)
"""Candidate thresholds for deep mates, as the share of all scores above them."""


def choose_thresholds(mates: Mates, sample: Features, share: float) -> tuple[float, float]:
    """Choose the score floor, and the threshold of deep mates with the least counting time.

    Args:
        mates: the mates to rank.
        sample: float32 [distractors, dimension].
        share: approximate share of all scores that should reach the score floor.

    Returns:
        The score floor and the deep threshold.
    """
    stride = 1 + len(mates.probes) * len(sample) // SAMPLED_SCORES
    scores = (mates.probes @ sample[::stride].T).ravel()
    shares = np.array(sorted({share, *CANDIDATE_SHARES}))
    positions = np.maximum(0, len(scores) - 1 - (shares * len(scores)).astype(np.int64))
    scores.partition(np.unique(positions))
    candidates = scores[positions].astype(np.float64)
    score_floor = float(candidates[np.searchsorted(shares, share)])
    costs = []
    for deep_threshold in candidates:
        is_shallow = mates.score >= deep_threshold
        # All scores above the lowest shallow mate of their probe are looked up; all scores meet every deep mate.
        probe_floor = np.full(len(mates.probes), score_floor)
        np.minimum.at(probe_floor, mates.probe[is_shallow], mates.score[is_shallow])
        looked_up = np.interp(probe_floor, candidates[::-1], shares[::-1]).mean()
        deep_mates_per_probe = (~is_shallow).sum() / len(mates.probes)
        costs.append(LOOKUP_NS * looked_up + COMPARISON_NS * deep_mates_per_probe)
    return score_floor, float(candidates[np.argmin(costs)])
