from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from facekd.evaluation.cross_model.result import CrossModelResult, KeptThreshold
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.types import Interval


@dataclass
class Toy:
    """A result with one rate and one FAR that may not be measured."""

    rate: float
    threshold: float | None
    notes: tuple[str, ...]

    def limits(self) -> dict[str, float | None]:
        return {"threshold at FAR 1e-1": self.threshold, "threshold at FAR 1e-9": None}

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        return {"accuracy": (self.rate, (0.1, 0.9)), "TAR at FAR 1e-1": (self.rate, None),
                "TAR at FAR 1e-9": (None, None)}

    def to_dict(self) -> dict[str, Any]:
        return {"rate": self.rate}


@pytest.fixture
def result() -> CrossModelResult[Toy]:
    results = {"old/old": Toy(0.5, 0.25, ("every", "old")), "new/new": Toy(0.6, 0.5, ("every",)),
               "new/old": Toy(0.7, None, ("every", "mixed"))}
    difference = Difference("accuracy", 0.7, 0.5, (0.1, 0.3))
    return CrossModelResult("a", "b", results, {"old/old": [difference]},
                            (KeptThreshold("FAR 1e-1", 0.25, "new/old", 0.02, 0.9),), ("about the models",))


def test_the_table_has_a_column_for_each_combination(result: CrossModelResult[Toy]) -> None:
    lines = result.describe().splitlines()
    assert lines[1].split() == ["old/old", "new/new", "new/old"]
    columns = [lines[1].index(name) for name in ("old/old", "new/new", "new/old")]
    assert [lines[2][column:].split()[0] for column in columns] == ["50.00", "60.00", "70.00"]


def test_a_rate_that_no_combination_has_is_left_out(result: CrossModelResult[Toy]) -> None:
    assert "1e-9" not in result.describe()


def test_thresholds_stand_below_the_rates(result: CrossModelResult[Toy]) -> None:
    assert "threshold at FAR 1e-1  0.250" in result.describe()


def test_a_difference_and_a_kept_threshold_are_a_line_each(result: CrossModelResult[Toy]) -> None:
    text = result.describe()
    assert "new/old - old/old:\n  accuracy: 70.00% - 50.00% = +20.00 points [+10.00, +30.00]" in text
    assert "0.250 (FAR 1e-1): new/old has FAR 2.00e-02, TAR 90.00%" in text


def test_a_note_of_some_combinations_names_them(result: CrossModelResult[Toy]) -> None:
    assert result.describe().splitlines()[-4:] == ["about the models", "every", "old/old: old", "new/old: mixed"]


def test_the_fields_are_json(result: CrossModelResult[Toy]) -> None:
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["results"]["new/old"] == {"rate": 0.7}
    assert content["differences"]["new/old - old/old"] == [
        {"metric": "accuracy", "first": 0.7, "second": 0.5, "interval": [0.1, 0.3]}]
    assert content["kept_thresholds"][0]["true_rate"] == 0.9
