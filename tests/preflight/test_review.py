from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.data.opening import open_faces
from facekd.preflight.review import Review, review_with_model
from tests.patterns import PatternEmbedder, PatternPainter

IDENTITIES = 12
IMAGES_EACH = 10
CPU = torch.device("cpu")


@pytest.fixture
def review(tmp_path: Path) -> Review:
    """Review a training set with two wrong labels and a person under two names; a test set has two of its people."""
    training = PatternPainter(tmp_path / "train", IDENTITIES)
    training.patterns[-1] = training.patterns[-2]
    for person in range(IDENTITIES):
        for number in range(IMAGES_EACH):
            training.paint(person, f"p{person:02d}", str(number))
    training.paint(3, "p05", "wrong")
    training.paint(6, "p02", "wrong")
    test = PatternPainter(tmp_path / "test", 6, seed=1)
    test.patterns[1], test.patterns[4] = training.patterns[7], training.patterns[0]
    for person in range(6):
        for number in range(4):
            test.paint(person, f"t{person}", str(number))
    return review_with_model(PatternEmbedder(), open_faces(tmp_path / "train"), [open_faces(tmp_path / "test")], CPU)


def test_wrong_labels_come_first(review: Review) -> None:
    assert {name for name, _ in review.label_outliers[:2]} == {"p05/wrong.png", "p02/wrong.png"}
    angles = [angle for _, angle in review.label_outliers]
    assert angles == sorted(angles, reverse=True) and min(angles) > 75


def test_a_person_under_two_names_is_found(review: Review) -> None:
    assert [(a, b) for a, b, _ in review.duplicate_identities] == [(f"p{IDENTITIES - 2}", f"p{IDENTITIES - 1}")]


def test_people_of_the_test_set_who_are_trained_on_are_found(review: Review) -> None:
    assert {(a, b) for a, b, _ in review.shared_identities} == {("p07", "t1"), ("p00", "t4")}


def test_each_kind_is_one_finding_with_advice(review: Review) -> None:
    assert [finding.count for finding in review.findings] == [len(review.label_outliers), 1, 2]
    assert all(finding.level == "warning" and finding.advice for finding in review.findings)


def test_clean_sets_have_no_findings(tmp_path: Path) -> None:
    painter = PatternPainter(tmp_path / "train", 5)
    for person in range(5):
        for number in range(IMAGES_EACH):
            painter.paint(person, f"p{person}", str(number))
    review = review_with_model(PatternEmbedder(), open_faces(tmp_path / "train"), [], CPU)
    assert (review.label_outliers, review.duplicate_identities, review.shared_identities) == ([], [], [])
