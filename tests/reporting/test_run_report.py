from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.errors import DataError
from facekd.reporting.plots.pair_grid import pair_grid
from tests.reporting.pages import Page, page, write_report

MakeRun = Callable[..., Path]
Crop = np.ndarray[Any, np.dtype[np.uint8]]


def test_figures_land_in_the_page_in_percent(make_run: MakeRun) -> None:
    cells = page(make_run("student", accuracy=0.9137, rank1=0.60125)).text
    wanted = ["91.37 [90.37, 92.17]", "81.37 [78.37, 83.37]", "98.77", "4.56", "1.23", "60.12 [58.12, 62.12]", "4,021",
              "849,000"]
    assert [figure for figure in wanted if figure not in cells] == []


def test_notes_and_facts_are_shown(make_run: MakeRun) -> None:
    text = "\n".join(page(make_run("student")).text)
    wanted = ["700 impostor pairs are too few", "f00d" * 16, "Some CPU", "abc1234", "facekd eval verify --name cfp-ff",
              "dataset: faces/train"]
    assert [fact for fact in wanted if fact not in text] == []


def test_nothing_is_fetched_from_elsewhere(make_run: MakeRun) -> None:
    run = make_run("student")
    text = write_report(run).read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.links and all(link.startswith("data:image/") for link in parsed.links)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert "url(" not in text and "@import" not in text
    inside = [link for svg in parsed.pictures for link in re.findall(r'(?:href|src)="([^"]*)"', svg)]
    assert inside and all(link.startswith("#") for link in inside)


def test_everything_read_from_files_is_escaped(make_run: MakeRun) -> None:
    evil = "<script>alert('&\"')</script>"
    run = make_run("student", info={"command_line": evil, "strategy": evil, "git": evil, "hardware": {"label": evil},
                                    "model": {"name": evil, "size": 64, "outputs": 128}})
    file = run / "results" / "verify-cfp-ff.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": evil, "notes": [evil], "command_line": evil}))
    (run / "recipe.yaml").write_text(f"dataset: \"{evil.replace(chr(34), '')}\"\nseed: 0\n")
    parsed = page(run)
    assert "script" not in parsed.tags and evil in "".join(parsed.text)


def test_the_diagnosis_of_a_student_is_told(make_run: MakeRun) -> None:
    run = make_run("student")
    assert "Would a route help" not in page(run).text
    (run / "diagnosis.json").write_text(json.dumps({"sentence": "the premise holds: the student is stuck"}))
    assert "Would a route help this student? the premise holds: the student is stuck." in page(run).text


def test_anchors_are_marked_where_their_stages_begin(make_run: MakeRun) -> None:
    curves = page(make_run("student")).pictures[-1]
    assert all(f"point {point} (epoch {point + 1})" in curves for point in (4, 9, 14, 19))


def test_the_recorded_points_of_a_teacher_are_marked(make_run: MakeRun) -> None:
    parsed = page(make_run("teacher", command="train"))
    assert "recorded point of the route" in parsed.pictures[-1] and "The route has 10 recorded points." in parsed.text


def test_the_grid_of_pairs_is_embedded_unchanged(make_run: MakeRun, crops: list[Crop]) -> None:
    run = make_run("student")
    grid = pair_grid([(crops[0], crops[1], 0.9, True)], threshold=0.5)
    (run / "results" / "verify-cfp-ff.jpg").write_bytes(grid)
    assert [base64.b64decode(link.partition(",")[2]) for link in page(run).links if "jpeg" in link] == [grid]


def test_a_run_without_results_says_how_to_get_them(make_run: MakeRun) -> None:
    run = make_run("student", accuracy=None, rank1=None)
    text = "\n".join(page(run).text)
    assert "has not been measured yet" in text and f"facekd eval verify --model {run}" in text


def test_a_run_that_has_just_begun_has_a_report(make_run: MakeRun) -> None:
    run = make_run("student", accuracy=None, rank1=None, info={"outcome": "running", "finished": None})
    (run / "log.jsonl").unlink()
    assert "Nothing has been logged yet." in page(run).text


def write_package(run: Path, **content: Any) -> None:
    names = [name for entry in content["files"].values() for name in entry.get("files", [])]
    facts = {"name": "student", "model": {"name": "mlp"}, "parameters": 5, "macs": 7, "size": 64, "dimension": 128,
             "io_format": {"input_dtype": "float", "l2_normalized": False}, "preprocessing": "RGB", "results": {},
             "provenance": {}, "sha256": dict.fromkeys(names, "00")}
    (run / "package").mkdir()
    (run / "package" / "metadata.json").write_text(json.dumps({"format": "facekd.package", **facts, **content}))


def test_the_package_is_described(make_run: MakeRun) -> None:
    run = make_run("student")
    latency = {"median_ms": 5.125, "quartiles_ms": [5.0, 5.5], "p95_ms": 6.0, "repeats": 100}
    near = {"mean": 0.99876, "minimum": 0.98765, "images": 14}
    figures = {"accuracy": 0.9, "thresholds": {}}
    lost = {"pairs_file": "pairs.csv", "drop": {"accuracy": {"points": 0.25, "interval": [-0.1, 0.6]}},
            "network": figures, "file": figures, "resampled": "pairs", "thresholds": {}, "impostor_pairs": 7,
            "against": None}
    gate = {"gates": [], "note": None}
    validation = {**gate, "status": "passed", "cosine": {"noise": {"1": near}}, "verification": lost}
    absent = {**gate, "status": "not run", "cosine": "not run", "verification": "not run"}
    converted = {"target": "onnx", "precision": "int8", "versions": {}, "device_command": ""}
    write_package(run, version=4, files={
        "onnx int8": {**converted, "files": ["student.int8.onnx"], "bytes": 3_456_789, "latency": latency,
                      "validation": validation,
                      "notes": ["only for squares"]},
        "coreml fp32": {**converted, "files": ["student.mlpackage"], "bytes": 5, "latency": "not run",
                        "validation": absent,
                        "notes": ["only on macOS"]},
    })
    timing = "5.12 ms (quartiles 5.00 to 5.50, 95 % within 6.00)"
    wanted = ["student.int8.onnx", "3.46 MB", timing, "0.9988, least 0.9877",
              "+0.25 points [-0.10, +0.60] on pairs.csv", "passed", "only for squares", "student.mlpackage", "not run",
              "only on macOS"]
    text = page(run).text
    assert [cell for cell in wanted if cell not in text] == []


def test_a_package_of_an_older_version_is_to_be_exported_again(make_run: MakeRun) -> None:
    run = make_run("student")
    write_package(run, version=1, files={"float": {"name": "student.onnx"}})
    with pytest.raises(DataError, match=r"metadata\.json.* older facekd .*export it again"):
        write_report(run)


def test_multiply_adds_are_counted_where_the_run_does_not_say(make_run: MakeRun) -> None:
    from facekd.models.complexity import count_macs
    from facekd.models.registry import create

    expected = count_macs(create("mobilenetv2", size=64, outputs=128, width=0.5), 64)
    assert f"{expected / 1e6:#.3g} M".replace(". M", " M") in page(make_run("student")).text


def test_a_second_report_is_the_same(make_run: MakeRun) -> None:
    run = make_run("student")
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_no_temporary_file_is_left(make_run: MakeRun) -> None:
    run = make_run("student")
    before = {file.name for file in run.iterdir()}
    write_report(run)
    assert {file.name for file in run.iterdir()} == before | {"report.html"}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run\.json"):
        write_report(tmp_path)


def test_a_result_that_lacks_a_figure_is_named(make_run: MakeRun) -> None:
    run = make_run("student")
    (run / "results" / "megaface-cfp.json").write_text('{"rank1": 0.5}')
    with pytest.raises(DataError, match=r"megaface-cfp\.json is damaged: 'notes' is missing, .* and 7 more"):
        write_report(run)


def test_a_damaged_log_is_named(make_run: MakeRun) -> None:
    run = make_run("student")
    (run / "log.jsonl").write_text('{"step": 3}\n')
    with pytest.raises(DataError, match=r"log\.jsonl: the line of step 3 is none of a training"):
        write_report(run)
