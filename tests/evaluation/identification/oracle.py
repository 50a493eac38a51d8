"""Helpers of the counting tests: counts summed over blocks, and ranks pair by pair."""

from __future__ import annotations

import numpy as np
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Mates, exact_scores
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.types import IntArray

BLOCK = 190


def count_in_blocks(counter: RankCounter, distractors: Features, device: torch.device | str = "cpu") -> IntArray:
    """The distractors ahead of each mate, counted in several blocks of distractors."""
    products = counter.create_products(torch.device(device))
    insertion_counts = np.zeros(counter.num_insertion_bins, np.int64)
    deep_counts = np.zeros(counter.num_deep_mates, np.int64)
    for start in range(0, len(distractors), BLOCK):
        counts = counter.count_block(products, distractors[start : start + BLOCK])
        insertion_counts += counts.insertion_counts
        deep_counts += counts.deep_counts
    return counter.distractors_ahead(insertion_counts, deep_counts)


def count_with_shared_exact_scores(mates: Mates, distractors: Features) -> IntArray:
    """The distractors ahead of each mate, pair by pair, from the `exact_scores` of the code under test.

    So this checks the counting only; `test_mates` checks `exact_scores` by itself.
    """
    columns = np.arange(len(distractors))
    scores = [exact_scores(mates.probes, np.full(len(columns), probe), distractors, columns)
              for probe in range(len(mates.probes))]
    return np.array([(scores[probe] >= score).sum() for probe, score in zip(mates.probe, mates.score, strict=True)])
