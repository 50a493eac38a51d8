"""Thresholds, probabilities, agreement and groups on the page of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from facekd.reporting.run_data import load_run_data
from facekd.reporting.run_report_comparisons import comparison_elements
from tests.reporting.pages import Page, page

MakeRun = Callable[..., Path]
RATE = {"value": 0.02, "interval": [0.01, 0.03]}
GROUP = {"people": 9, "impostor_pairs": 100, "false_matches": 2, "fmr": RATE, "genuine_pairs": 50,
         "false_non_matches": 0, "fnmr": {"value": 0.0, "interval": [0.0, 0.0]}}
AGREE = {
    "images": 40, "pairs": 780, "cosine": None, "rank_correlation": {"value": 0.9, "interval": [0.8, 0.95]},
    "decisions": [{"threshold": 0.3, "far": "1e-3", "source": "as given", "differ": RATE, "kept": None,
                   "teacher_accepts": 7, "student_accepts": 9}], "notes": ["lengths differ"],
}
GROUPS = {
    "threshold": 0.25, "far": None, "source": "as given", "groups": [{**GROUP, "group": "old"}], "worst_fnmr": None,
    "worst_fmr": {"highest": "old", "lowest": "young", "value": 2.0, "interval": [1.5, None]}, "notes": [],
}
FURTHER = {
    "all_impostors": {
        "impostor_pairs": 7236022, "people": 400, "thresholds": {"1e-3": 0.323, "1e-9": None},
        "threshold_interval": {"1e-3": [0.318, 0.33], "1e-9": None}, "tar": {"1e-3": 0.9875, "1e-9": None},
        "tar_interval": {"1e-3": [0.98, 0.99], "1e-9": None}, "notes": ["a note on people"],
    },
    "probability": {"slope": 40.0, "intercept": -10.0, "ece": 0.001, "ece_limit": 0.002, "pairs": 5600,
                    "bins": [{"confidence": 0.1, "accuracy": 0.12, "count": 40},
                             {"confidence": None, "accuracy": None, "count": 0}]},
}


def add(run: Path, name: str, content: dict[str, Any]) -> None:
    (run / "results" / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    """A run with every comparison."""
    path = make_run("student")
    file = path / "results" / "verify-cfp-ff.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | FURTHER))
    add(path, "agree-crops", AGREE)
    add(path, "groups-rfw", GROUPS)
    return path


def test_every_comparison_is_on_the_page(run: Path) -> None:
    text = " ".join(page(run).text)
    for phrase in ("7,236,022", "0.323 [0.318, 0.330]", "98.75 [98.00, 99.00]", "a note on people", "50% at 0.250",
                   "0.9000 [0.8000, 0.9500]", "2.00 [1.00, 3.00]", "lengths differ", "0.250", "2 of 100 pairs",
                   "0 of 50 pairs", "worst ratio of false match rates 2.00 [1.50, no end], old over young"):
        assert phrase in text, phrase
    assert any("probability of one person (%)" in picture for picture in page(run).pictures)


def test_a_run_without_comparisons_has_none(make_run: MakeRun) -> None:
    assert list(comparison_elements(load_run_data(make_run("student")))) == []


def test_the_elements_are_html(run: Path) -> None:
    assert Page("".join(comparison_elements(load_run_data(run)))).tags.count("table") == 4
