from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.identification import score_tiles
from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.identification.score_tiles import TorchScoreTile
from facekd.evaluation.types import IntArray
from tests.evaluation.identification.oracle import count_in_blocks, count_with_shared_exact_scores
from tests.evaluation.toy import unit_rows

DEEP_THRESHOLDS = (-2.0, 0.0, 0.25, 0.5, 2.0)
"""All mates are shallow; some; none, so that all are deep."""


def faces(dimension: int, seed: int = 0) -> tuple[Features, IntArray, Features]:
    """People whose images are similar, distractors, and among them copies of probes and almost equal copies."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(12), 5))
    probes = generator.normal(size=(12, dimension))[labels] + 1.5 * generator.normal(size=(60, dimension))
    distractors = generator.normal(size=(700, dimension))
    distractors[30:50], distractors[60:63] = probes[4], probes[:3]
    distractors[100:110] = probes[7] * (1 + 1e-7 * generator.normal(size=(10, dimension)))
    return unit_rows(probes), labels, unit_rows(distractors)


def count(mates: Mates, distractors: Features, deep_threshold: float) -> IntArray:
    return count_in_blocks(RankCounter(mates, 0.5, deep_threshold), distractors)


@pytest.mark.parametrize("deep_threshold", DEEP_THRESHOLDS)
@pytest.mark.parametrize("dimension", [2, 16, 512])
def test_counts_equal_pairwise_counts_with_shared_exact_scores(dimension: int, deep_threshold: float) -> None:
    probes, labels, distractors = faces(dimension)
    mates = Mates(probes, labels)
    expected = count_with_shared_exact_scores(mates, distractors)
    assert np.array_equal(count(mates, distractors, deep_threshold), expected)


@pytest.mark.parametrize("deep_threshold", DEEP_THRESHOLDS)
def test_the_torch_tile_on_a_cpu_counts_the_same(deep_threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, labels, distractors = faces(16)
    mates = Mates(probes, labels)
    monkeypatch.setattr(score_tiles, "NumpyScoreTile",
                        lambda scores, workspace: TorchScoreTile(torch.from_numpy(scores)))
    expected = count_with_shared_exact_scores(mates, distractors)
    assert np.array_equal(count(mates, distractors, deep_threshold), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("deep_threshold", DEEP_THRESHOLDS)
def test_cuda_counts_the_same(deep_threshold: float) -> None:
    probes, labels, distractors = faces(512)
    mates = Mates(probes, labels)
    counts = count_in_blocks(RankCounter(mates, 0.5, deep_threshold), distractors, "cuda")
    assert np.array_equal(counts, count_with_shared_exact_scores(mates, distractors))


def test_several_tiles_of_probes() -> None:
    generator = np.random.default_rng(0)
    probes, distractors = unit_rows(generator.normal(size=(1300, 8))), unit_rows(generator.normal(size=(200, 8)))
    assert len(probes) > score_tiles.CPU_TILE_ROWS
    mates = Mates(probes, np.arange(1300) // 2)
    assert np.array_equal(count(mates, distractors, 0.5), count_with_shared_exact_scores(mates, distractors))


def test_float64_decides_where_float32_cannot() -> None:
    """Distractors with the mate's score in float32, half of them ahead by 1e-10."""
    step = np.float32(2**-24)
    probes = np.array([[1, 0, 0], [0.8, 0.6, 0]], np.float32)
    distractors = np.repeat(np.array([[0.8, 0, 0.6]], np.float32), 100, axis=0)
    distractors[50:, 0] -= step
    mates = Mates(probes, np.zeros(2, np.int64))
    ahead = count(mates, distractors, 0.0)
    assert ahead[mates.probe == 0].tolist() == [50]


def test_high_scores_are_given_with_their_owners() -> None:
    probes, labels, distractors = faces(16)
    counter = RankCounter(Mates(probes, labels), 0.5, 0.3)
    counts = counter.count_block(counter.create_products(torch.device("cpu")), distractors)
    expected = probes @ distractors.T
    assert len(counts.score) == pytest.approx((expected >= 0.5).sum(), abs=2)
    assert counts.score == pytest.approx(expected[counts.probe, counts.distractor], abs=1e-6)
