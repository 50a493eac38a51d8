"""Is one model better than another for the same people? The paired bootstrap (Efron and Tibshirani 1993, ch. 16)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekd.errors import DataError
from facekd.evaluation.identification.per_identity import PerIdentityCounts
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.evaluation.statistics.difference import Difference


def compare_identification(
    first: PerIdentityCounts, second: PerIdentityCounts, figures: Sequence[tuple[str, float, float]],
    fars: Sequence[str], resamples: int = 10_000, seed: int = 0,
) -> list[Difference]:
    """Compare two models that were measured on the same probes and the same number of distractors.

    Args:
        first: counts of the first model.
        second: counts of the second model.
        figures: names and both values of the figures to compare: rank-1, then the TAR at each of ``fars``.
        fars: false accept rates as text.
        resamples: number of bootstrap resamples.
        seed: seed of the draw.

    Raises:
        DataError: the two models were not measured on the same people.
    """
    if (
        not np.array_equal(first.labels, second.labels) or not np.array_equal(first.sizes, second.sizes)
        or first.distractors != second.distractors
    ):
        raise DataError(
            f"the two results are of different tests ({len(first.sizes)} people with {first.sizes.sum()} probes among "
            f"{first.distractors} distractors, {len(second.sizes)} with {second.sizes.sum()} among "
            f"{second.distractors}); compare models on the same probes and distractors"
        )
    # People with one probe have no mate; as a stratum of their own they never displace those who have.
    strata = (first.sizes > 1).astype(np.int64)
    intervals = bootstrap(lambda weights: first.rates(weights, fars) - second.rates(weights, fars), strata,
                          resamples, seed).tolist()
    return [Difference(name, first_value, second_value, (low, high))
            for (name, first_value, second_value), (low, high) in zip(figures, intervals, strict=True)]
