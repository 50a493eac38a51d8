from __future__ import annotations

import numpy as np

from facekd.evaluation.verification import thresholds as module
from facekd.evaluation.verification.thresholds import thresholds


def _made(images: int, people: int) -> tuple[np.ndarray, list[str]]:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((images, 8))
    return features / np.linalg.norm(features, axis=1, keepdims=True), [f"p{i % people}" for i in range(images)]


def _impostors(features: np.ndarray, people: list[str]) -> np.ndarray:
    """Every impostor score, a pair at a time."""
    return np.array([features[i] @ features[j] for i in range(len(people)) for j in range(i)
                     if people[i] != people[j]])


def test_no_lower_threshold_keeps_the_rate(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "ROWS", 32)  # several blocks
    features, people = _made(150, 40)
    scores = _impostors(features, people)
    found, count = thresholds(features, people, ("1e-2", "1e-3", "1e-5"))
    assert count == len(scores)
    for far in ("1e-2", "1e-3"):
        limit = int(float(far) * count)
        assert (scores > found[far] + 1e-12).sum() == limit
        assert (scores > found[far] - 1e-12).sum() == limit + 1
    assert found["1e-5"] is None


def test_equal_scores_are_not_accepted_beyond_the_rate() -> None:
    features = np.tile([[1.0, 0.0]], (30, 1))
    found, count = thresholds(features, [str(i) for i in range(30)], ("1e-2",))
    assert (found["1e-2"], count) == (1.0, 435)


def test_one_person_has_no_impostors() -> None:
    features, _ = _made(5, 1)
    assert thresholds(features, ["a"] * 5, ("1e-2",)) == ({"1e-2": None}, 0)
