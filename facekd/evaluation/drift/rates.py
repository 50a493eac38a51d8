"""The false accept rate of a threshold among new images, most of which show different people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from facekd.evaluation.agreement.pairs import ImagePairs
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import allowed_false_accepts, parse_far
from facekd.evaluation.types import FloatArray, IntArray, Interval

Verdict = Literal["holds", "accepts more", "accepts fewer", "too few images"]
TOLERANCE = 2.0
"""A rate within this factor still counts as the stated one: the threshold and the people vary as well."""
MIN_ACCEPTS = 10
"""Pairs that the stated rate must allow; with fewer nothing is decided."""
SENTENCES: Mapping[Verdict, str] = {
    "holds": "still means its rate", "accepts more": "accepts more strangers than stated",
    "accepts fewer": "accepts fewer strangers than stated: it may also refuse more people than it must",
    "too few images": "cannot be judged on so few pairs",
}


@dataclass(frozen=True)
class RateCheck:
    """A threshold and its rate on new images.

    Attributes:
        far: the false accept rate that the threshold was measured for, as text.
        threshold: the similarity above which a pair is accepted.
        accepted: number of pairs of the new images above it.
        rate: their share of the pairs.
        interval: its 95 % bootstrap interval over the images.
        verdict: whether the stated rate holds, up to a factor of `TOLERANCE`.
        new_threshold: the lowest threshold above which at most the stated share of the pairs lies; None with too few.
    """

    far: str
    threshold: float
    accepted: int
    rate: float
    interval: Interval
    verdict: Verdict
    new_threshold: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {**asdict(self), "interval": list(self.interval)}

    def describe(self) -> str:
        """Format the check as a line."""
        line = (f"FAR {self.far}, threshold {self.threshold:.3f}: {self.rate:.3g} [{self.interval[0]:.3g}, "
                f"{self.interval[1]:.3g}] of the pairs are accepted ({self.accepted:,}); it {SENTENCES[self.verdict]}")
        if self.new_threshold is None or self.verdict in ("holds", "too few images"):
            return line
        return f"{line}; here {self.new_threshold:.3f} has that rate"


def check_rates(thresholds: Mapping[str, float], cosines: FloatArray, pairs: ImagePairs, images: int,
                people: IntArray | None = None, *, resamples: int = 500, seed: int = 0) -> list[RateCheck]:
    """Compare the rates of thresholds on new images with those that they were measured for.

    Args:
        thresholds: thresholds by false accept rate as text.
        cosines: float64 [pairs].
        pairs: pairs of the new images, all or a random sample.
        images: number of images.
        people: int64 [images], the person in each image: pairs of one person are left out. None takes all pairs as
            different people.
        resamples: number of bootstrap resamples of the images.
        seed: seed of the bootstrap.
    """
    first, second = pairs.first, pairs.second
    if people is not None:
        strangers = people[first] != people[second]
        first, second, cosines = first[strangers], second[strangers], cosines[strangers]
    if not len(cosines):
        return []
    accepted = [cosines > threshold for threshold in thresholds.values()]
    chosen = [(first[mask], second[mask]) for mask in accepted]
    share = len(cosines) / (images * (images - 1) / 2)

    def figures(weights: Weights) -> FloatArray:
        """Compute the rate at each threshold; the number of pairs of a resample is that of its images."""
        counts = weights.astype(np.float64)
        total = share * np.maximum(counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1), 1) / 2
        accepts = [(counts[:, one] * counts[:, other]).sum(axis=1) for one, other in chosen]
        return np.asarray(np.stack(accepts, axis=1) / total[:, None])

    ends = bootstrap(figures, np.zeros(images, np.int64), resamples, seed).tolist() if thresholds else []
    falling = np.sort(cosines)[::-1]
    return [_check(far, threshold, int(mask.sum()), falling, (low, high))
            for (far, threshold), mask, (low, high) in zip(thresholds.items(), accepted, ends, strict=True)]


def _check(far: str, threshold: float, accepted: int, falling: FloatArray, interval: Interval) -> RateCheck:
    rate, allowed = float(parse_far(far)), allowed_false_accepts(far, len(falling))
    low, high = interval
    if not accepted:
        high = 3 / len(falling)
    verdict: Verdict = "holds"
    if allowed < MIN_ACCEPTS or (low < rate / TOLERANCE and high > rate * TOLERANCE):
        verdict = "too few images"
    elif low > rate * TOLERANCE:
        verdict = "accepts more"
    elif high < rate / TOLERANCE:
        verdict = "accepts fewer"
    new_threshold = float(falling[allowed]) if allowed >= MIN_ACCEPTS and allowed < len(falling) else None
    return RateCheck(far, threshold, accepted, accepted / len(falling), (low, high), verdict, new_threshold)
