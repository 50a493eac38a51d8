from __future__ import annotations

import json
from dataclasses import replace

from facekd.evaluation.identification.open_set_result import OpenSetResult

RESULT = OpenSetResult(
    rank={1: 0.9, 5: 0.95, 10: 1.0}, rank_interval={1: (0.8, 0.95), 5: (0.9, 1.0), 10: (1.0, 1.0)}, cmc=(0.9, 0.95),
    tpir={"1e-2": None, "1e-1": 0.75}, tpir_interval={"1e-2": None, "1e-1": (0.5, 0.9)},
    thresholds={"1e-2": None, "1e-1": 0.3}, mated=1234, unmated=56, identities=300, gallery_identities=250, galleries=1,
    notes=("a note",),
)


def test_the_fields_are_json() -> None:
    content = json.loads(json.dumps(RESULT.to_dict(), allow_nan=False))
    assert set(content) == {"rank", "rank_interval", "cmc", "tpir", "tpir_interval", "thresholds", "mated", "unmated",
                            "identities", "gallery_identities", "galleries", "notes"}
    assert content["rank"]["5"] == RESULT.rank[5]
    assert content["tpir_interval"] == {"1e-2": None, "1e-1": [0.5, 0.9]}


def test_the_lines_give_the_measured_rates_and_every_note() -> None:
    assert RESULT.describe().splitlines() == [
        "rank-1 90.00 % [80.00, 95.00], rank-5 95.00 % [90.00, 100.00], rank-10 100.00 % [100.00, 100.00]",
        "1,234 probes with a mate, 56 without, 250 people in the gallery",
        "TPIR 75.00 % [50.00, 90.00] at FPIR 1e-1, threshold 0.300",
        "a note",
    ]
    assert "250 people in 2 galleries" in replace(RESULT, galleries=2).describe()
