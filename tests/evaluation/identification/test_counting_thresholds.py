from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.identification.counting_thresholds import choose_thresholds
from facekd.evaluation.identification.mates import Mates
from tests.evaluation.toy import unit_rows


def test_about_the_share_reaches_the_score_floor() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 5)
    probes = unit_rows(generator.normal(size=(12, 16))[labels] + 1.5 * generator.normal(size=(60, 16)))
    distractors = unit_rows(generator.normal(size=(700, 16)))
    score_floor, deep_threshold = choose_thresholds(Mates(probes, labels), distractors, 0.05)
    assert float(np.float32(score_floor)) == score_floor
    assert (probes @ distractors.T >= score_floor).mean() == pytest.approx(0.05, abs=0.002)
    assert deep_threshold <= score_floor


def test_mates_that_few_impostors_reach_are_not_deep() -> None:
    generator = np.random.default_rng(0)
    labels, share = np.repeat(np.arange(3), 40), 0.12  # images of a person score 0.12, as few impostors do
    noise = unit_rows(generator.normal(size=(123, 256)))
    probes = unit_rows(np.sqrt(share) * noise[labels] + np.sqrt(1 - share) * noise[3:])
    mates = Mates(probes, labels)
    deep_threshold = choose_thresholds(mates, unit_rows(generator.normal(size=(1000, 256))), 1e-4)[1]
    assert 0.5 < (mates.score >= deep_threshold).mean() < 1
