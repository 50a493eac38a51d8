from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification import thresholds as module
from facekd.evaluation.verification.thresholds import highest_impostors, thresholds_at_fars


def random_features(images: int, people: int) -> tuple[FloatArray, list[str]]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((images, 8))
    return features / np.linalg.norm(features, axis=1, keepdims=True), [f"p{i % people}" for i in range(images)]


def impostor_scores(features: FloatArray, identities: list[str]) -> FloatArray:
    """Every impostor score, a pair at a time."""
    return np.array([features[i] @ features[j] for i in range(len(identities)) for j in range(i)
                     if identities[i] != identities[j]])


def test_no_lower_threshold_keeps_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 32)  # several blocks
    features, identities = random_features(150, 40)
    scores = impostor_scores(features, identities)
    thresholds, count = thresholds_at_fars(features, identities, ("1e-2", "1e-3", "1e-5"))
    assert count == len(scores)
    for far in ("1e-2", "1e-3"):
        limit = int(float(far) * count)
        threshold = thresholds[far]
        assert threshold is not None
        assert (scores > threshold + 1e-12).sum() == limit
        assert (scores > threshold - 1e-12).sum() == limit + 1
    assert thresholds["1e-5"] is None


def test_equal_scores_are_not_accepted_beyond_the_rate() -> None:
    features = np.tile([[1.0, 0.0]], (30, 1))
    thresholds, count = thresholds_at_fars(features, [str(i) for i in range(30)], ("1e-2",))
    assert (thresholds["1e-2"], count) == (1.0, 435)


def test_one_person_has_no_impostors() -> None:
    features, _ = random_features(5, 1)
    assert thresholds_at_fars(features, ["a"] * 5, ("1e-2",)) == ({"1e-2": None}, 0)


@pytest.mark.parametrize("capacity", [5, 100, 10**6])
def test_the_highest_impostor_pairs_are_those_of_a_full_matrix(capacity: int) -> None:
    generator = np.random.default_rng(2)
    features = generator.normal(size=(1100, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    identity = generator.integers(0, 40, 1100)
    first, second = np.triu_indices(1100, 1)
    strangers = identity[first] != identity[second]
    cosines = (features @ features.T)[first[strangers], second[strangers]]
    found = highest_impostors(features, identity, capacity)
    np.testing.assert_allclose(found.scores, np.sort(cosines)[::-1][:capacity])
    np.testing.assert_allclose((features[found.first] * features[found.second]).sum(axis=1), found.scores)
    assert (identity[found.first] != identity[found.second]).all()
