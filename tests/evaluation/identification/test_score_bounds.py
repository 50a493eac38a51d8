from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.identification.score_bounds import ScoreBound, choose_score_bound
from facekd.evaluation.types import Float32Array
from tests.evaluation.identification.oracle import count_in_blocks, count_with_shared_exact_scores
from tests.evaluation.toy import unit_rows


def structured_rows(count: int, seed: int, decay: float = 12.0, dimension: int = 96) -> Features:
    """Features whose spectrum falls by e every ``decay`` axes."""
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return unit_rows(rows * np.exp(-np.arange(dimension) / decay / 2))


def random_axes(count: int, dimension: int = 96) -> Float32Array:
    square = np.random.default_rng(5).normal(size=(dimension, dimension))
    return np.linalg.qr(square)[0][:, :count].astype(np.float32)


@pytest.mark.parametrize("count", [1, 8, 95])
@pytest.mark.parametrize("decay", [1.0, 12.0, 1000.0])
def test_no_score_is_above_its_bound(count: int, decay: float) -> None:
    probes, distractors = structured_rows(50, 0, decay), structured_rows(400, 1, decay)
    distractors[:50] = probes  # as high as a score can be
    bound = ScoreBound(probes, random_axes(count))
    highest = bound.probes.astype(np.float64) @ bound.project(distractors).astype(np.float64).T + bound.margin
    assert (probes.astype(np.float64) @ distractors.astype(np.float64).T <= highest).all()


def test_it_is_used_if_few_axes_hold_most() -> None:
    probes, sample = structured_rows(100, 0, 4.0), structured_rows(1000, 1, 4.0)
    assert choose_score_bound(probes, np.full(100, 0.95, np.float32), sample) is not None


def test_it_is_left_out_if_the_directions_have_no_structure() -> None:
    probes, sample = structured_rows(100, 0, 1e6), structured_rows(1000, 1, 1e6)
    assert choose_score_bound(probes, np.full(100, 0.2, np.float32), sample) is None


def test_it_is_left_out_if_the_sample_is_too_small() -> None:
    probes, sample = structured_rows(100, 0, 4.0), structured_rows(100, 1, 4.0)
    assert choose_score_bound(probes, np.full(100, 0.95, np.float32), sample) is None


def test_bounded_counts_equal_pairwise_counts_with_shared_exact_scores() -> None:
    generator = np.random.default_rng(2)
    labels = np.repeat(np.arange(40), 4)
    probes = unit_rows(structured_rows(40, 3, 4.0)[labels] + 0.03 * generator.normal(size=(160, 96)))
    probes[::29] = structured_rows(6, 4, 4.0)  # wrong images, whose mates are deep
    distractors = structured_rows(900, 5, 4.0)
    distractors[:30] = probes[4:34]
    mates = Mates(probes, labels)
    counter = RankCounter(mates, 0.9, 0.85)
    counter.use_score_bound(structured_rows(1000, 6, 4.0))
    assert counter.create_products(torch.device("cpu"))[1] is not None
    expected = count_with_shared_exact_scores(mates, distractors)
    assert np.array_equal(count_in_blocks(counter, distractors), expected)
