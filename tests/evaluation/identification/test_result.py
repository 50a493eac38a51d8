from __future__ import annotations

import json

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.result import IdentificationResult


@pytest.fixture(scope="module")
def result() -> IdentificationResult:
    """Twelve people of four probes each among 150 distractors."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 4)
    probes = generator.normal(size=(12, 16))[labels] + generator.normal(size=(48, 16))
    distractors = ArrayFeatures(generator.normal(size=(150, 16)))
    identified = identify(ArrayFeatures(probes, labels=labels), distractors, resamples=20)
    assert identified is not None
    return identified


def test_json_fields(result: IdentificationResult) -> None:
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content) == {"rank1", "rank1_interval", "cmc", "pairs", "distractors", "tar", "tar_interval", "probes",
                            "identities", "notes"}
    assert len(content["cmc"]) == 100
    assert content["cmc"] == sorted(content["cmc"])
    assert list(content["tar"]) == ["1e-2", "1e-3", "1e-4", "1e-5", "1e-6"]
    low, high = content["rank1_interval"]
    assert low <= content["rank1"] <= high


def test_the_lines_give_the_figures_and_every_note(result: IdentificationResult) -> None:
    first, second, *others = result.describe().splitlines()
    assert first.startswith(f"rank-1 {100 * result.rank1:.2f} % [") and first.endswith(f"rank-10 {result.cmc[9]:.2%}")
    assert second == "144 pairs of 48 probes of 12 people, 150 distractors"
    assert others[-len(result.notes) :] == list(result.notes)
