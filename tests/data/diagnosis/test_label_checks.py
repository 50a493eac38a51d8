from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.diagnosis.diagnose import diagnose
from facekd.data.opening import open_faces
from tests.data.diagnosis.face_sets import diagnose_paths, single_finding, write_people


def test_a_set_without_labels_is_told_what_it_is_good_for(folder: Path) -> None:
    diagnosis = diagnose([open_faces(folder, labels=False)])
    finding = single_finding(diagnosis)
    assert (finding.level, "has no labels: its labels were set aside" in finding.message) == ("note", True)
    assert "good for 'facekd distill' by a method without labels" in finding.advice and "facekd group" in finding.advice
    assert "images, unlabeled, " in diagnosis.describe().splitlines()[0]


def test_nobody_is_counted_in_a_set_without_labels(folder: Path) -> None:
    summary = diagnose([open_faces(folder, labels=False)], min_images=1000).to_dict()["sets"][0]
    assert [summary[key] for key in ("is_labeled", "identities", "fewest", "most")] == [False, 0, 0, 0]


def test_equal_images_without_labels_are_not_of_one_person(folder: Path) -> None:
    (folder / "Ada" / "again.jpg").write_bytes((folder / "Ada" / "0.jpg").read_bytes())
    messages = [finding.message for finding in diagnose([open_faces(folder, labels=False)]).findings]
    assert f"1 images of {folder} occur more than once" in messages


@pytest.mark.parametrize("names", [
    ["2024-05-01", "2024-05-02"], ["cam1", "cam2", "Ada"], ["train", "val"], ["20240501", "20240502"], ["2023", "2024"],
])
def test_folders_that_are_named_like_no_people_are_doubted(tmp_path: Path, names: list[str]) -> None:
    finding = single_finding(diagnose_paths(write_people(tmp_path / "set", names, 0)))
    assert finding.level == "warning" and "not like people" in finding.message
    assert "data.labels=false, here --no-labels" in finding.advice


@pytest.mark.parametrize("names", [["Ada", "Bo", "cam1"], ["00000123", "20241399"], ["id_1", "m.0xyz"],
                                   ["Camilla", "Al"]])
def test_people_and_numbers_are_not_doubted(tmp_path: Path, names: list[str]) -> None:
    assert diagnose_paths(write_people(tmp_path / "set", names, 0)).findings == []


def test_names_of_a_set_without_labels_are_compared_with_nobody(folder: Path, tmp_path: Path) -> None:
    write_people(tmp_path / "other", ["unlabeled", "Bo"], 500)
    findings = diagnose([open_faces(folder, labels=False), open_faces(tmp_path / "other")]).findings
    assert [finding.message for finding in findings if "names occur" in finding.message] == []
    assert any("numbers or not known" in finding.advice for finding in findings)
