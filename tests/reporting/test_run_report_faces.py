from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.reporting.run_data import load_run_data
from facekd.reporting.run_report_faces import face_elements

MakeRun = Callable[..., Path]


def shown(run: Path) -> str:
    return "\n".join(face_elements(load_run_data(run).results))


def cells(page: str, first: str) -> list[str]:
    """The cells of the row that begins with a cell."""
    [row] = [line for line in page.splitlines() if line.startswith(f"<tr><td>{first}</td>")]
    return row.removeprefix("<tr><td>").removesuffix("</td></tr>").split("</td><td>")


@pytest.fixture
def identified(make_run: MakeRun) -> Path:
    return make_run("student", accuracy=None, rank1=None, identify=0.8)


@pytest.fixture
def templates(make_run: MakeRun) -> Path:
    return make_run("student", accuracy=None, rank1=None, ijb=0.9)


def test_an_identification_is_a_row_with_its_notes_and_its_curve(identified: Path) -> None:
    page = shown(identified)
    assert cells(page, "staff") == ["staff", "250", "1,234", "5,678", "80.00 [79.00, 81.00]", "82.00 [50.00, 100.00]",
                                    "83.00 [50.00, 100.00]", "60.00 [55.00, 65.00]", "–"]
    assert "staff: TPIR at FPIR 1e-1 is not given" in page
    assert "CMC in a gallery" in page and page.count("<img") == 1


def test_templates_are_verified_in_one_row(templates: Path) -> None:
    assert cells(shown(templates), "ijbc") == [
        "ijbc", "23,124", "3,531", "19,557", "15,638,932", "–", "95.00 [90.00, 100.00]"]


def test_templates_are_identified_in_every_gallery_and_the_mean_is_named(templates: Path) -> None:
    page = shown(templates)
    firsts = [cells(page, first)[4] for first in ("ijbc G1", "ijbc G2", "ijbc, mean of 2 galleries")]
    assert firsts == ["90.00 [89.00, 91.00]", "88.00 [87.00, 89.00]", "89.00 [88.00, 90.00]"]


def test_notes_of_all_parts_of_ijb_are_shown(templates: Path) -> None:
    page = shown(templates)
    notes = ["ijbc: no detector scores", "ijbc: 7 pairs are called", "ijbc G2: TPIR at FPIR 1e-1 is not given"]
    assert [note for note in notes if note not in page] == []


def test_the_mean_of_one_gallery_is_not_shown(templates: Path) -> None:
    file = templates / "results" / "ijb-ijbc.json"
    content = json.loads(file.read_text())
    content["identification"] = {"G1": content["identification"]["G1"], "mean": content["identification"]["G1"]}
    file.write_text(json.dumps(content))
    assert "mean of" not in shown(templates) and "ijbc G1" in shown(templates)


@pytest.mark.parametrize(("key", "empty", "heading"), [
    ("verification", None, "Verification of templates"), ("identification", {}, "Identification in a gallery")])
def test_what_a_protocol_lacks_has_no_table(templates: Path, key: str, empty: object, heading: str) -> None:
    assert heading in shown(templates)
    file = templates / "results" / "ijb-ijbc.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: empty}))
    assert heading not in shown(templates)


def test_a_part_of_ijb_that_lacks_a_figure_is_named(templates: Path) -> None:
    file = templates / "results" / "ijb-ijbc.json"
    content = json.loads(file.read_text())
    del content["identification"]["G2"]["cmc"], content["verification"]["genuine"]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"'verification\.genuine' is missing, 'identification\.G2\.cmc' is missing"):
        shown(templates)


def test_nothing_is_said_where_no_face_was_measured(make_run: MakeRun) -> None:
    assert not shown(make_run("student", accuracy=None, rank1=None, top1=0.7))
