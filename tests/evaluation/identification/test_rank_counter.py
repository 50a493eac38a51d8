from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.identification import score_tiles as tiles
from facekd.evaluation.identification.mates import Ints, Mates, exact_scores
from facekd.evaluation.identification.rank_counter import Counter, levels_of
from facekd.evaluation.identification.score_tiles import TorchTile

DEPTHS = (-2.0, 0.0, 0.25, 0.5, 2.0)
"""All mates are looked up; some; none, so that all are deep."""


def faces(dimension: int, seed: int = 0) -> tuple[Features, Ints, Features]:
    """People whose images are alike, distractors, and among them copies of probes and near copies."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(12), 5))
    probes = generator.normal(size=(12, dimension))[labels] + 1.5 * generator.normal(size=(60, dimension))
    others = generator.normal(size=(700, dimension))
    others[30:50], others[60:63] = probes[4], probes[:3]
    others[100:110] = probes[7] * (1 + 1e-7 * generator.normal(size=(10, dimension)))
    return ArrayFeatures(probes).all(), labels, ArrayFeatures(others).all()


def brute(mates: Mates, distractors: Features) -> Ints:
    """Pair by pair, in float64."""
    every = np.arange(len(distractors))
    scores = [exact_scores(mates.probes, np.full(len(every), probe), distractors, every)
              for probe in range(len(mates.probes))]
    return np.array([(scores[probe] >= score).sum() for probe, score in zip(mates.probe, mates.score, strict=True)])


def counted(mates: Mates, distractors: Features, depth: float) -> Ints:
    return summed(Counter(mates, 0.5, depth), distractors)


def summed(counter: Counter, distractors: Features) -> Ints:
    products = counter.products(torch.device("cpu"))
    blocks = [counter.count(products, distractors[start : start + 190]) for start in range(0, len(distractors), 190)]
    return counter.ahead(sum(b.places for b in blocks), sum(b.deep for b in blocks))  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("dimension", [2, 16, 512])
def test_counts_equal_float64_brute_force(dimension: int, depth: float) -> None:
    probes, labels, distractors = faces(dimension)
    mates = Mates(probes, labels)
    assert np.array_equal(counted(mates, distractors, depth), brute(mates, distractors))


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_tile_of_a_gpu_counts_alike(depth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    probes, labels, distractors = faces(16)
    mates = Mates(probes, labels)
    monkeypatch.setattr(tiles, "NumpyTile", lambda scores, space: TorchTile(torch.from_numpy(scores)))
    assert np.array_equal(counted(mates, distractors, depth), brute(mates, distractors))


def test_several_tiles_of_probes() -> None:
    generator = np.random.default_rng(0)
    probes = ArrayFeatures(generator.normal(size=(1100, 8))).all()
    distractors = ArrayFeatures(generator.normal(size=(200, 8))).all()
    mates = Mates(probes, np.arange(1100) // 2)
    assert np.array_equal(counted(mates, distractors, 0.5), brute(mates, distractors))


def test_where_float32_is_blind_float64_decides() -> None:
    """Distractors that float32 scores like the mate, half of them ahead by 1e-10."""
    step = np.float32(2**-24)
    probes = np.array([[1, 0, 0], [0.8, 0.6, 0]], np.float32)
    distractors = np.repeat(np.array([[0.8, 0, 0.6]], np.float32), 100, axis=0)
    distractors[50:, 0] -= step
    mates = Mates(probes, np.zeros(2, np.int64))
    ahead = counted(mates, distractors, 0.0)
    assert ahead[mates.probe == 0].tolist() == [50]


def test_high_scores_are_given_with_their_owners() -> None:
    probes, labels, distractors = faces(16)
    mates = Mates(probes, labels)
    counter = Counter(mates, 0.5, 0.3)
    found = counter.count(counter.products(torch.device("cpu")), distractors)
    expected = probes @ distractors.T
    assert len(found.score) == pytest.approx((expected >= 0.5).sum(), abs=2)
    assert found.score == pytest.approx(expected[found.probe, found.distractor], abs=1e-6)


def test_about_the_share_reaches_the_level() -> None:
    probes, labels, distractors = faces(16)
    level, depth = levels_of(Mates(probes, labels), distractors, 0.05)
    assert float(np.float32(level)) == level
    assert (probes @ distractors.T >= level).mean() == pytest.approx(0.05, abs=0.002)
    assert depth <= level


def test_mates_that_few_impostors_reach_are_not_deep() -> None:
    generator = np.random.default_rng(0)
    labels, share = np.repeat(np.arange(3), 40), 0.12  # images of a person score 0.12, where few impostors do
    noise = ArrayFeatures(generator.normal(size=(123, 256))).all()
    alike = ArrayFeatures(np.sqrt(share) * noise[labels] + np.sqrt(1 - share) * noise[3:]).all()
    mates = Mates(alike, labels)
    depth = levels_of(mates, ArrayFeatures(generator.normal(size=(1000, 256))).all(), 1e-4)[1]
    assert 0.5 < (mates.score >= depth).mean() < 1
