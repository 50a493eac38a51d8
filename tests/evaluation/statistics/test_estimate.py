from __future__ import annotations

from facekd.evaluation.statistics.estimate import Estimate


def test_an_estimate_is_a_record_and_a_text() -> None:
    estimate = Estimate(0.5, (0.25, 0.75))
    assert estimate.to_dict() == {"value": 0.5, "interval": [0.25, 0.75]}
    assert estimate.describe() == "0.5000 [0.2500, 0.7500]"
