from __future__ import annotations

import numpy as np

from facekd.deploy.validation_gate import CosineSummary, Gate
from facekd.deploy.validation_report import PairVerification, Reference, ValidationReport
from facekd.evaluation.verification.loss import Loss
from facekd.evaluation.verification.verify import verify

RESULT = verify([0.1, 0.9, 0.2, 0.8], [False, True, False, True], [1, 1, 2, 2])
LOSS = Loss("accuracy", 1.0, 0.99, 1.0, (0.5, 1.5))


def test_without_a_comparison_the_record_says_so() -> None:
    record = ValidationReport("not run", {}, {}, note="elsewhere").to_dict()
    assert record == {"status": "not run", "gates": [], "note": "elsewhere", "cosine": "not run",
                      "verification": "not run", "similarities": None}


def test_gates_and_cosines_are_recorded() -> None:
    report = ValidationReport("not measured", {1: CosineSummary(0.9, 0.8, 3)}, {}, gates=(Gate("tar@1e-4", 1.5),))
    record = report.to_dict()
    assert record["gates"] == ["tar@1e-4=1.5"]
    assert record["cosine"] == {"noise": {"1": {"mean": 0.9, "minimum": 0.8, "images": 3}}}


def test_losses_against_another_model_have_a_record_of_their_own() -> None:
    teacher = Reference("teacher", "ab", np.ones((1, 1)), RESULT)
    verification = PairVerification("p.csv", RESULT, RESULT, [LOSS], "pairs", {}, 2, teacher, [LOSS, LOSS])
    record = verification.to_dict()
    assert record["drop"] == {"accuracy": {"points": 1.0, "interval": [0.5, 1.5]}}
    assert record["against"]["name"] == "teacher"
    assert record["against"]["drop"] == record["drop"]
    assert PairVerification("p.csv", RESULT, RESULT, [LOSS], "pairs", {}, 2).to_dict()["against"] is None
