from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.evaluation.classification import predictions as module
from facekd.evaluation.classification.predictions import log_softmax, measure_predictions, teacher_agreement

LOGITS = np.random.default_rng(0).normal(0, 3, (100, 6)).astype(np.float32)
LABELS = np.arange(100) % 6


@pytest.mark.parametrize("rows", [7, 8192])
def test_figures_of_every_image_are_those_of_the_definition(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", rows)
    predictions = measure_predictions(LOGITS, LABELS)
    log_probabilities = torch.from_numpy(LOGITS).double().log_softmax(dim=1).numpy()
    for image, label in enumerate(LABELS.tolist()):
        ranking = sorted(range(6), key=lambda name: -LOGITS[image, name])
        assert predictions.rank[image] == ranking.index(label)
        assert predictions.confidence[image] == pytest.approx(np.exp(log_probabilities[image].max()), rel=1e-12)
        assert predictions.nll[image] == pytest.approx(-log_probabilities[image, label], rel=1e-12)


def test_of_equal_logits_the_lower_class_is_ranked_first() -> None:
    assert measure_predictions(np.zeros((4, 4)), np.arange(4)).rank.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("rows", [7, 8192])
def test_agreement_and_divergence_of_two_models(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", rows)
    teacher = np.random.default_rng(1).normal(0, 3, (100, 6)).astype(np.float32)
    agreement, divergence = teacher_agreement(LOGITS, teacher)
    assert agreement == np.mean(LOGITS.argmax(axis=1) == teacher.argmax(axis=1))
    student_log, teacher_log = (torch.from_numpy(values).double().log_softmax(dim=1) for values in (LOGITS, teacher))
    expected = torch.nn.functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)
    assert divergence == pytest.approx(float(expected), rel=1e-9)


def test_log_softmax_of_huge_logits_is_finite() -> None:
    assert log_softmax(np.array([[1e30, -1e30]], np.float32)).tolist()[0][0] == 0.0
    assert np.isfinite(log_softmax(np.array([[1e30, -1e30]], np.float32))).all()
