from __future__ import annotations

from facekd.reporting.plots.reliability import reliability_diagram
from tests.reporting.plots.test_training import texts

TEX = "$\\frac{$"


def test_reliability_names_its_tests_and_axes() -> None:
    bins = [(0.1, 0.2, 5), (0.9, 0.8, 50)]
    assert {"a", "b", "confidence (%)"} <= set(texts(reliability_diagram({"a": bins, "b": bins[:1]})))
    assert {"probability", "share"} <= set(texts(reliability_diagram({"a": bins}, "probability", "share")))


def test_names_are_no_formulas() -> None:
    assert TEX in texts(reliability_diagram({TEX: [(0.5, 0.5, 3)]}))
