from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.reporting.run_report_classes import classification_elements
from tests.reporting.pages import page, write_report

MakeRun = Callable[..., Path]


def classifier_run(make_run: MakeRun) -> Path:
    return make_run("student", accuracy=None, rank1=None, top1=0.7654,
                    info={"model": {"name": "mobilenetv2", "size": 32, "outputs": 21, "options": {"width": 0.5}}})


def test_classification_lands_in_the_page(make_run: MakeRun) -> None:
    cells = page(classifier_run(make_run)).text
    wanted = ["76.54 [75.54, 77.54]", "95.31 [95.00, 96.00]", "4.12", "1.2346", "80.71", "0.3457", "9,876", "21",
              "things: 1 of 21 classes have no image", "facekd eval cifar --name things (cpu2)"]
    assert [figure for figure in wanted if figure not in cells] == []


def test_a_page_on_a_closed_set_speaks_of_no_faces(make_run: MakeRun) -> None:
    run = classifier_run(make_run)
    (run / "recipe.yaml").write_text("head: {name: softmax}\nseed: 0\n", encoding="utf-8")
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({key: value for key, value in info.items() if key != "dataset"}))
    text = "\n".join(page(run).text).replace("facekd", "").lower()
    assert "classification" in text
    assert [word for word in ("face", "verification", "people", "person") if word in text] == []


def test_the_ends_of_the_classes_are_named(make_run: MakeRun) -> None:
    text = page(classifier_run(make_run)).text
    assert "Lowest: thing 0 0.00; thing 1 5.00; thing 2 10.00; thing 3 15.00; thing 4 20.00." in text
    assert "Highest: thing 19 95.00; thing 18 90.00; thing 17 85.00; thing 16 80.00; thing 15 75.00." in text


def test_calibration_and_classes_are_drawn(make_run: MakeRun) -> None:
    pictures = "".join(page(classifier_run(make_run)).pictures)
    assert "confidence (%)" in pictures and "mean of the classes" in pictures


def test_a_classification_without_top5_and_teacher_shows_dashes(make_run: MakeRun) -> None:
    run = classifier_run(make_run)
    before = page(run).text.count("–")
    file = run / "results" / "classify-things.json"
    absent = dict.fromkeys(("top5", "top5_interval", "agreement", "kl"))
    file.write_text(json.dumps(json.loads(file.read_text()) | absent))
    assert page(run).text.count("–") - before == 3  # top-5 and its interval share a cell


def test_faces_and_closed_sets_share_a_page(make_run: MakeRun) -> None:
    text = page(make_run("student", top1=0.7654)).text
    assert "Classification" in text and "Verification" in text


def test_the_page_of_an_unmeasured_classifier_has_the_command_to_measure_it(make_run: MakeRun) -> None:
    run = make_run("student", accuracy=None, rank1=None)
    (run / "recipe.yaml").write_text("head: {name: softmax}\nseed: 0\n", encoding="utf-8")
    text = "\n".join(page(run).text)
    assert f"facekd eval cifar --model {run}" in text and "eval verify" not in text


def test_a_classification_that_lacks_a_figure_is_named(make_run: MakeRun) -> None:
    run = make_run("student")
    (run / "results" / "classify-things.json").write_text('{"top1": 0.5}')
    with pytest.raises(DataError, match=r"classify-things\.json is damaged: 'notes' is missing"):
        write_report(run)


def test_without_results_there_is_no_element() -> None:
    assert list(classification_elements([])) == []
