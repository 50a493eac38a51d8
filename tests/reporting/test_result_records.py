"""Result files: those that evaluations write are accepted, and damaged ones are refused with the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekd.api.report import report
from facekd.errors import DataError
from facekd.reporting.result_records import read_result

MakeRun = Callable[..., Path]


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    """A run with a result of each kind."""
    return make_run("student", top1=0.7, identify=0.8, ijb=0.9)


@pytest.mark.parametrize(("name", "key", "value"), [
    ("verify-cfp-ff", "accuracy", "high"), ("verify-cfp-ff", "accuracy", 91.3), ("verify-cfp-ff", "accuracy", None),
    ("verify-cfp-ff", "accuracy_interval", [0.5]), ("verify-cfp-ff", "tar", []), ("verify-cfp-ff", "tar", {"1e-2": {}}),
    ("verify-cfp-ff", "tar_interval", {}), ("verify-cfp-ff", "pairs", -1), ("verify-cfp-ff", "threshold", [1]),
    ("verify-cfp-ff", "roc", {"far": [0.1], "tar": []}), ("verify-cfp-ff", "roc", 5), ("verify-cfp-ff", "notes", [5]),
    ("megaface-cfp", "cmc", []), ("megaface-cfp", "cmc", "steep"), ("megaface-cfp", "distractors", {}),
    ("classify-things", "per_class", {"a": None}), ("classify-things", "per_class", [1]),
    ("classify-things", "reliability", []), ("classify-things", "reliability", [{"count": 3}]),
    ("classify-things", "kl", {}),
    ("identify-staff", "rank", {"1": []}), ("identify-staff", "tpir_interval", {"1e-2": [0.1]}),
    ("ijb-ijbc", "verification", {}), ("ijb-ijbc", "identification", {"G1": []}), ("ijb-ijbc", "templates", "all"),
])
def test_a_damaged_result_is_refused_with_its_key(run: Path, name: str, key: str, value: object) -> None:
    file = run / "results" / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(DataError, match=rf"{name}\.json is damaged: .*{key}.*; delete it and evaluate again") as raised:
        report(run)
    assert len(str(raised.value)) < 620


def test_further_figures_are_accepted(run: Path) -> None:
    file = run / "results" / "verify-cfp-ff.json"
    content: dict[str, Any] = json.loads(file.read_text()) | {"weather": "fine"}
    file.write_text(json.dumps(content))
    assert read_result(file, "verify") == content
