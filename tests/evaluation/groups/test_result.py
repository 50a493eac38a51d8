from __future__ import annotations

import json

from facekd.evaluation.groups.result import GroupRates, GroupsResult, WorstRatio, describe_rate
from facekd.evaluation.statistics.estimate import Estimate

RATE = Estimate(0.002, (0.001, 0.003))
ROW = GroupRates("women", 30, 1000, 2, RATE, 100, 0, Estimate(0.0, (0.0, 0.0)))
RESULT = GroupsResult(0.3, "1e-3", "from a file", (ROW,), WorstRatio("a", "b", 2.0, (1.1, None)), None, ("a note",))


def test_the_lines_hold_rates_intervals_and_counts() -> None:
    lines = RESULT.describe().splitlines()
    assert lines[0] == "threshold 0.300 (FAR 1e-3), from a file"
    assert lines[1] == ("women: FMR 0.2 % [0.1, 0.3] (2 of 1,000 pairs), FNMR 0 of 100 pairs (below about 3 %), "
                        "30 people")
    assert lines[2] == "worst ratio of FMR: 2.00 [1.10, no upper end], a over b"
    assert lines[3].startswith("worst ratio of FNMR: not measurable") and lines[4] == "a note"


def test_what_was_not_measured_says_so() -> None:
    assert describe_rate(None, 0, 0) == "not measured"


def test_the_record_is_json() -> None:
    record = json.loads(json.dumps(RESULT.to_dict()))
    assert record["groups"][0]["fmr"] == {"value": 0.002, "interval": [0.001, 0.003]}
    assert record["worst_fmr"] == {"highest": "a", "lowest": "b", "value": 2.0, "interval": [1.1, None]}
