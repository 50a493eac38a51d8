from __future__ import annotations

import json

from facekd.evaluation.agreement.result import AgreementResult, Cosines, Decisions
from facekd.evaluation.statistics.estimate import Estimate

HIGH = Estimate(0.95, (0.94, 0.96))
DECISIONS = Decisions(0.3, "1e-3", "as given", Estimate(0.001, (0.0, 0.002)), HIGH, 100, 90, 0.28, 0.97)


def result(cosine: Cosines | None, decisions: Decisions) -> AgreementResult:
    return AgreementResult(10, 45, True, cosine, HIGH, (decisions,), ((3, 0.1),), ("a note",))


def test_the_lines_hold_every_figure() -> None:
    text = result(Cosines(HIGH, HIGH, HIGH), DECISIONS).describe()
    assert "mean 0.9500 [0.9400, 0.9600]" in text and "45 all pairs" in text and text.endswith("a note")
    assert "at the teacher's threshold 0.300 (FAR 1e-3), as given: 0.1000 % [0.0000, 0.2000]" in text
    assert "the student keeps 95.00 % [94.00, 96.00], at its own threshold 0.280 97.00 %" in text


def test_what_was_not_measured_is_left_out() -> None:
    nothing = Decisions(0.9, None, "as given", HIGH, None, 0, 3, 0.8, None)
    text = result(None, nothing).describe()
    assert "cosine to the teacher" not in text and "keeps" not in text and "FAR" not in text


def test_the_record_is_json() -> None:
    record = json.loads(json.dumps(result(Cosines(HIGH, HIGH, HIGH), DECISIONS).to_dict()))
    assert record["cosine"]["percentile1"] == {"value": 0.95, "interval": [0.94, 0.96]}
    assert record["decisions"][0]["kept"]["value"] == 0.95
    assert result(None, DECISIONS).to_dict()["cosine"] is None
