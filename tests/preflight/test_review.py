from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.data.opening import open_faces
from facekd.preflight.review import Review, look
from tests.patterns import Painter, Patterns

PEOPLE, EACH = 12, 10
CPU = torch.device("cpu")


@pytest.fixture
def reviewed(tmp_path: Path) -> Review:
    """A training set with two wrong images and a person twice, and a test set with two of its people."""
    training = Painter(tmp_path / "train", PEOPLE)
    training.patterns[-1] = training.patterns[-2]
    for person in range(PEOPLE):
        for number in range(EACH):
            training.paint(person, f"p{person:02d}", str(number))
    training.paint(3, "p05", "wrong")
    training.paint(6, "p02", "wrong")
    test = Painter(tmp_path / "test", 6, seed=1)
    test.patterns[1], test.patterns[4] = training.patterns[7], training.patterns[0]
    for person in range(6):
        for number in range(4):
            test.paint(person, f"t{person}", str(number))
    return look(Patterns(), open_faces(tmp_path / "train"), [open_faces(tmp_path / "test")], CPU)


def test_wrong_labels_come_first(reviewed: Review) -> None:
    assert {name for name, _ in reviewed.labels[:2]} == {"p05/wrong.png", "p02/wrong.png"}
    angles = [angle for _, angle in reviewed.labels]
    assert angles == sorted(angles, reverse=True) and min(angles) > 75


def test_a_person_under_two_names_is_found(reviewed: Review) -> None:
    assert [(a, b) for a, b, _ in reviewed.duplicates] == [(f"p{PEOPLE - 2}", f"p{PEOPLE - 1}")]


def test_people_of_the_test_set_who_are_trained_on_are_found(reviewed: Review) -> None:
    assert {(a, b) for a, b, _ in reviewed.shared} == {("p07", "t1"), ("p00", "t4")}


def test_each_kind_is_one_finding_with_advice(reviewed: Review) -> None:
    assert [finding.count for finding in reviewed.findings] == [len(reviewed.labels), 1, 2]
    assert all(finding.level == "warning" and finding.advice for finding in reviewed.findings)


def test_clean_sets_have_no_findings(tmp_path: Path) -> None:
    painter = Painter(tmp_path / "train", 5)
    for person in range(5):
        for number in range(EACH):
            painter.paint(person, f"p{person}", str(number))
    found = look(Patterns(), open_faces(tmp_path / "train"), [], CPU)
    assert (found.labels, found.duplicates, found.shared) == ([], [], [])
