from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from facekd.deploy.validation_gate import DEFAULT_GATE, Gate, parse_gates, summarize_cosines
from facekd.errors import ExportError
from facekd.evaluation.verification.loss import Loss

FILE = Path("tiny.int8.onnx")


REFERENCE = "the float network"


def loss(points: float, low: float, high: float) -> Loss:
    return Loss("accuracy", 0.99, 0.99 - points / 100, points, (low, high))


def test_a_small_loss_passes() -> None:
    assert DEFAULT_GATE.check(FILE, loss(0.2, -0.1, 0.5), REFERENCE) is None


@pytest.mark.parametrize("limit", [0.3, 0.7, 1.1])
def test_the_limit_itself_passes(limit: float) -> None:
    assert Gate("accuracy", limit).check(FILE, loss(limit, limit, limit), REFERENCE) is None


def test_a_loss_that_may_be_chance_is_warned_of() -> None:
    assert DEFAULT_GATE.check(FILE, loss(0.5, 0.2, 0.8), REFERENCE) == (
        "tiny.int8.onnx loses 0.50 points of accuracy [0.20, 0.80] against the float network, more than --gate "
        "accuracy=0.3 allows but not clearly so; measure it on more pairs"
    )


def test_a_clear_loss_is_refused() -> None:
    message = r"it loses 1\.20 points .* \[0\.85, 1\.55\] .*, more than --gate accuracy=0\.3"
    with pytest.raises(ExportError, match=message):
        DEFAULT_GATE.check(FILE, loss(1.2, 0.85, 1.55), REFERENCE)


def test_gates_are_read_as_they_are_written() -> None:
    gates = parse_gates(["tar@1e-4=1.0", "eer=0.5"])
    assert gates == [Gate("tar@1e-4", 1.0), Gate("eer", 0.5)]
    assert [gate.far for gate in gates] == ["1e-4", None]
    assert parse_gates([str(gate) for gate in gates]) == gates


def test_without_gates_accuracy_is_gated() -> None:
    assert parse_gates([]) == [Gate("accuracy", 0.3)]


@pytest.mark.parametrize(("texts", "message"), [
    (["accuracy=-0.1"], "percentage points"), (["accuracy=nan"], "percentage points"),
    (["auc=inf"], "percentage points"),
    (["accuracy"], "percentage points"), (["accuraci=1"], "did you mean 'accuracy'"), (["tar=1"], "unknown figure"),
    (["fnmr@1e-3=1"], "unknown figure"), (["tar@2=1"], "no false accept rate"), (["eer=1", "eer=2"], "given twice"),
])
def test_a_gate_that_cannot_be_used_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        parse_gates(texts)


def test_cosines_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(9, 4)).astype(np.float32)
    second = rng.normal(size=(9, 4)).astype(np.float32)
    expected = np.diag(cosine_similarity(first.astype(np.float64), second.astype(np.float64)))
    summary = summarize_cosines(first, second)
    assert [summary.mean, summary.minimum] == pytest.approx([expected.mean(), expected.min()])
    assert summary.images == 9


def test_cosines_show_nan() -> None:
    summary = summarize_cosines(np.array([[1.0, 2.0], [np.nan, 1.0]]), np.ones((2, 2)))
    assert np.isnan([summary.mean, summary.minimum]).all()
