from __future__ import annotations

import json

import numpy as np
import pytest

from facekd.evaluation.verification.result import VerificationResult
from facekd.evaluation.verification.verify import verify


def result_of(pairs: int, resamples: int) -> VerificationResult:
    generator = np.random.default_rng(0)
    same = generator.random(pairs) < 0.5
    scores = generator.normal(0.1, 0.2, pairs) + 0.3 * same
    return verify(scores, same, generator.integers(0, 5, pairs), resamples=resamples)


def test_json_fields() -> None:
    result = result_of(2500, resamples=20)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content) == {"accuracy", "accuracy_std", "accuracy_interval", "auc", "eer", "threshold", "pairs", "tar",
                            "tar_interval", "thresholds", "folds", "all_impostors", "probability", "notes"}
    assert list(content["tar"]) == list(content["tar_interval"]) == ["1e-1", "1e-2", "1e-3", "1e-4"]
    low, high = content["tar_interval"]["1e-2"]
    assert 0 <= low <= content["tar"]["1e-2"] <= high <= 1
    assert content["pairs"] == 2500


def test_result_is_frozen() -> None:
    result = result_of(100, resamples=2)
    with pytest.raises(AttributeError):
        result.accuracy = 1.0  # type: ignore[misc]


def test_the_lines_give_the_figures_the_measured_tars_and_every_note() -> None:
    result = result_of(300, resamples=5)
    first, second, *others = result.describe().splitlines()
    assert first.startswith(f"accuracy {100 * result.accuracy:.2f} % [") and ", 5 folds, " in first
    assert second == f"AUC {result.auc:.4f}, EER {result.eer:.2%}, 300 pairs"
    measured = [far for far, tar in result.tar.items() if tar is not None]
    for far, line in zip(measured, others, strict=False):
        assert line.endswith(f"at FAR {far}, threshold {result.thresholds[far]:.3f}")
    assert others[len(measured)].startswith(f"threshold {result.threshold:.3f} has the highest accuracy on these pairs")
    assert others[len(measured) + 1 :] == list(result.notes)
