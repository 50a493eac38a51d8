from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.identification.mates import Mates, exact_scores
from facekd.evaluation.identification.rank_counter import Counter
from facekd.evaluation.identification.score_bounds import Bound, choose_bound


def summed(counter: Counter, distractors: Features) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    products = counter.products(torch.device("cpu"))
    blocks = [counter.count(products, distractors[start : start + 190]) for start in range(0, len(distractors), 190)]
    return counter.ahead(sum(b.places for b in blocks), sum(b.deep for b in blocks))  # type: ignore[arg-type]


def structured(rows: int, seed: int, rank: float = 12.0, dimension: int = 96) -> Features:
    """Features whose spectrum falls by e every ``rank`` axes."""
    generator = np.random.default_rng(seed)
    return ArrayFeatures(generator.normal(size=(rows, dimension)) * np.exp(-np.arange(dimension) / rank / 2)).all()


def axes(count: int, dimension: int = 96) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    square = np.random.default_rng(5).normal(size=(dimension, dimension))
    return np.linalg.qr(square)[0][:, :count].astype(np.float32)


@pytest.mark.parametrize("count", [1, 8, 95])
@pytest.mark.parametrize("rank", [1.0, 12.0, 1000.0])
def test_no_score_is_above_its_bound(count: int, rank: float) -> None:
    probes, distractors = structured(50, 0, rank), structured(400, 1, rank)
    distractors[:50] = probes  # as high as a score can be
    bound = Bound(probes, axes(count))
    highest = bound.probes.astype(np.float64) @ bound.short(distractors).astype(np.float64).T + bound.slack
    assert (probes.astype(np.float64) @ distractors.astype(np.float64).T <= highest).all()


def test_it_is_taken_where_few_axes_hold_most() -> None:
    probes, sample = structured(100, 0, 4.0), structured(1000, 1, 4.0)
    assert choose_bound(probes, np.full(100, 0.95, np.float32), sample) is not None


def test_it_is_left_out_where_directions_are_alike() -> None:
    probes, sample = structured(100, 0, 1e6), structured(1000, 1, 1e6)
    assert choose_bound(probes, np.full(100, 0.2, np.float32), sample) is None


def test_it_is_left_out_where_the_sample_says_too_little() -> None:
    assert choose_bound(structured(100, 0, 4.0), np.full(100, 0.95, np.float32), structured(100, 1, 4.0)) is None


def test_bounded_counts_equal_float64_brute_force() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(40), 4)
    probes = ArrayFeatures(structured(40, 3, 4.0)[labels] + 0.03 * generator.normal(size=(160, 96))).all()
    probes[::29] = structured(6, 4, 4.0)  # wrong images, whose mates are deep
    distractors = structured(900, 5, 4.0)
    distractors[:30] = probes[4:34]
    mates = Mates(probes, labels)
    counter = Counter(mates, 0.9, 0.85)
    counter.bound(structured(1000, 6, 4.0))
    assert counter.products(torch.device("cpu"))[1] is not None
    every = np.arange(len(distractors))
    scores = [exact_scores(probes, np.full(len(every), probe), distractors, every) for probe in range(160)]
    ahead = [(scores[probe] >= score).sum() for probe, score in zip(mates.probe, mates.score, strict=True)]
    assert np.array_equal(summed(counter, distractors), ahead)
