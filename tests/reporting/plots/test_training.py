from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from facekd.reporting.plots import training as plots

LOG: list[dict[str, Any]] = [
    {"step": i, "epoch": i / 10, "stage": 0, "learning_rate": 0.1, "seconds_per_step": 1.0, "loss": 5.0 - i / 100,
     "labels": 1.0}
    for i in range(1, 101)
]
ROC = {"cfp-ff": (np.linspace(0, 1, 50).tolist(), np.linspace(0.5, 1, 50).tolist())}


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_the_same_input_gives_the_same_bytes() -> None:
    marks = [plots.Mark(0, "a"), plots.Mark(5, "b")]
    assert plots.training_curves(LOG, marks, [2.0, 4.0]) == plots.training_curves(LOG, marks, [2.0, 4.0])


def test_marks_are_drawn_with_their_labels() -> None:
    assert " point 3 (epoch 8)" in texts(plots.training_curves(LOG, [plots.Mark(5, "point 3 (epoch 8)")]))


def test_recorded_points_have_a_legend() -> None:
    assert "recorded point of the route" in texts(plots.training_curves(LOG, points=[2.0]))


def test_a_single_term_is_not_drawn_in_addition_to_the_loss() -> None:
    assert "labels" not in texts(plots.training_curves(LOG))


def test_several_terms_are_drawn() -> None:
    assert {"loss", "labels", "l2"} <= set(texts(plots.training_curves([line | {"l2": 2.0} for line in LOG])))


def test_a_log_of_one_line_is_drawn() -> None:
    assert "epoch" in texts(plots.training_curves(LOG[:1]))


def test_long_logs_are_averaged() -> None:
    log = [{"x": float(i)} for i in range(10_000)]
    means = plots.mean_curve(log, "x")
    assert len(means) == plots.MAX_POINTS
    np.testing.assert_allclose(means, np.arange(10_000.0).reshape(500, 20).mean(axis=1))


def test_roc_names_its_curves() -> None:
    assert "cfp-ff" in texts(plots.roc_curves(ROC))


def test_roc_of_a_model_that_errs_nowhere() -> None:
    assert "perfect" in texts(plots.roc_curves({"perfect": ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])}))


@pytest.mark.parametrize("count", [1, 3, 100])
def test_cmc_of_any_length(count: int) -> None:
    assert "rank" in texts(plots.cmc_curves({"a": np.linspace(0.5, 1, count).tolist()}))


def test_more_curves_than_colors_are_all_drawn() -> None:
    many = {f"test {number}": ROC["cfp-ff"] for number in range(20)}
    assert set(many) <= set(texts(plots.roc_curves(many)))


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_any_number_of_classes_is_drawn(count: int) -> None:
    assert "mean of the classes" in texts(plots.class_accuracy_bars(np.linspace(0, 1, count).tolist()))


TEX = "$\\frac{$"


def test_names_are_no_formulas() -> None:
    far, tar = ROC["cfp-ff"]
    assert TEX in texts(plots.roc_curves({TEX: (far, tar)})) and TEX in texts(plots.cmc_curves({TEX: tar}))
    log = [{**line, TEX: 1.0} for line in LOG]
    assert {TEX, f" {TEX}"} <= set(texts(plots.training_curves(log, [plots.Mark(5, TEX)])))


def test_a_name_with_an_underscore_in_front_is_in_the_legend() -> None:
    assert any("_hidden" in text for text in texts(plots.cmc_curves({"_hidden": [0.5, 0.6]})))
