from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.api.data.group import group
from facekd.data import cv2
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.evaluation.embedding.extract import extract
from tests.api.data.test_clean import rows
from tests.patterns import PatternEmbedder, PatternPainter

SIZES = [7, 5, 4, 1]
"""Images of each person; file names do not tell them apart."""


@pytest.fixture
def crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("facekd.api.data.group.load", lambda model, device, **options: PatternEmbedder())
    painter = PatternPainter(tmp_path / "crops", len(SIZES))
    people = [person for person, size in enumerate(SIZES) for _ in range(size)]
    for number, person in enumerate(np.random.default_rng(1).permutation(people).tolist()):
        painter.paint(person, f"cam{number % 2}/day{number % 3}", f"{number}-{person}")
    return tmp_path / "crops"


def test_each_person_gets_a_folder_the_largest_first(crops: Path, tmp_path: Path) -> None:
    result = group(crops, tmp_path / "out", model="any")
    assert (result.images, result.people, result.alone, result.agreement) == (17, 3, 1, None)
    people = open_faces(tmp_path / "out" / "people")
    assert (people.class_names, np.bincount(people.labels).tolist()) == (
        ["PERSON-0001", "PERSON-0002", "PERSON-0003"], SIZES[:3])
    patterns = [people.image_name(index).removesuffix(".png").rpartition("-")[2] for index in range(len(people))]
    assert patterns == [str(label) for label in people.labels]


def test_every_image_is_in_the_table(crops: Path, tmp_path: Path) -> None:
    group(crops, tmp_path / "out", model="any")
    table = rows(tmp_path / "out" / "groups.csv")
    faces = open_faces(crops)
    assert [row["image"] for row in table] == [faces.image_name(index) for index in range(17)]
    alone = [row for row in table if not row["group"]]
    assert [(row["image"].endswith("-3.png"), row["cosine"]) for row in alone] == [(True, "")]
    for row in table:
        own = float(row["cosine"]) if row["group"] else 0.45
        assert float(row["margin"]) == pytest.approx(own - float(row["next_cosine"]), abs=2e-4)


def test_embeddings_are_used_again_for_another_threshold(crops: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    group(crops, tmp_path / "out", model="any")
    with pytest.raises(DataError, match=r"people exists already; remove it to group again"):
        group(crops, tmp_path / "out", model="any", threshold=0.99)
    (tmp_path / "out" / "people").rename(tmp_path / "old")
    monkeypatch.setattr(PatternEmbedder, "forward", None)
    assert group(crops, tmp_path / "out", model="any", min_images=5).people == 2


def test_features_take_the_place_of_a_model(crops: Path, tmp_path: Path) -> None:
    extract(PatternEmbedder(), open_faces(crops), tmp_path / "f.npy", flip=False)
    assert group(crops, tmp_path / "out", features=tmp_path / "f.npy").people == 3


def test_features_of_other_images_are_refused(crops: Path, tmp_path: Path) -> None:
    extract(PatternEmbedder(), open_faces(crops), tmp_path / "f.npy", flip=False)
    next(crops.rglob("*.png")).rename(crops / "moved.png")
    with pytest.raises(DataError, match=r"f\.npy holds 17 embeddings of other images than the 17 of"):
        group(crops, tmp_path / "out", features=tmp_path / "f.npy")


def test_labels_are_not_used_and_compared(crops: Path, tmp_path: Path) -> None:
    for file in sorted(crops.rglob("*.png")):
        person = file.stem.rpartition("-")[2]
        (tmp_path / "labeled" / person).mkdir(parents=True, exist_ok=True)
        file.rename(tmp_path / "labeled" / person / file.name)
    result = group(tmp_path / "labeled", tmp_path / "out", model="any")
    assert result.agreement is not None and result.agreement.adjusted_rand == 1
    assert "adjusted Rand 1.000" in result.describe()


def test_doubtful_images_are_counted_and_drawn(crops: Path, tmp_path: Path) -> None:
    painter = PatternPainter(crops, len(SIZES))
    painter.patterns[0] = (painter.patterns[0] + painter.patterns[1]) // 2
    for number in range(2):
        painter.paint(0, "mixed", f"{number}")
    result = group(crops, tmp_path / "out", model="any")
    assert result.doubtful >= 1
    sheet = cv2.imread(str(tmp_path / "out" / "doubtful.jpg"))
    assert sheet is not None and sheet.std() > 10


@pytest.mark.parametrize(("arguments", "problem"), [
    ({}, "give a model .* or their embeddings"),
    ({"model": "a", "features": "b"}, "and not both"),
    ({"features": "b", "pixels": "raw"}, "--pixels"),
    ({"model": "a", "threshold": 1.0}, "threshold 1 and min_images 2 are not valid"),
    ({"model": "a", "min_images": 1}, "at least 2 images"),
    ({"model": "a", "threshold": 0.9999}, "no 2 images of .* reach a mean cosine of 0.9999"),
])
def test_arguments_are_checked(crops: Path, tmp_path: Path, arguments: dict[str, object], problem: str) -> None:
    with pytest.raises(DataError if "pixels" not in arguments else Exception, match=problem):
        group(crops, tmp_path / "out", **arguments)  # type: ignore[arg-type]


def test_the_output_lies_outside_of_the_set(crops: Path) -> None:
    with pytest.raises(DataError, match="is the folder of the set itself or lies in it"):
        group(crops, crops / "out", model="any")
