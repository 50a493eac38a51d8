from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekd.api import clean as verb
from facekd.api.clean import clean
from facekd.api.train import teach
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.models.embedder import directions
from facekd.models.loading import load
from facekd.training import checkpoint
from facekd.utils import files
from tests.patterns import Painter, Patterns

PEOPLE, EACH = 20, 12


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """People who are a pattern each, seen through noise; one image in twelve lies in another's folder.

    The last two people are one; the one before them has two images.
    """
    monkeypatch.setattr(verb, "load", lambda model, device: Patterns())
    painter = Painter(tmp_path / "faces", PEOPLE)
    painter.patterns[-1] = painter.patterns[-2]
    for person in (*range(PEOPLE - 3), PEOPLE - 2, PEOPLE - 1):
        for number in range(EACH - 1):
            painter.paint(person, f"p{person:02d}", str(number))
        painter.paint((person + 7) % (PEOPLE - 3), f"p{person:02d}", "wrong")
    for number in range(2):
        painter.paint(PEOPLE - 3, f"p{PEOPLE - 3}", str(number))
    return tmp_path / "faces"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_planted_wrong_images_are_dropped_and_listed(planted: Path, tmp_path: Path) -> None:
    found = clean(planted, "any", tmp_path / "out", angle=70)
    dropped = rows(tmp_path / "out" / "dropped.csv")
    wrong = {f"p{person:02d}/wrong.png" for person in range(PEOPLE) if person != PEOPLE - 3}
    assert {row["image"] for row in dropped} == wrong
    assert all(row["person"] == row["image"][:3] and float(row["angle"]) > 70 for row in dropped)
    before, after = open_faces(planted), open_faces(tmp_path / "out")
    assert (len(after), after.names) == (len(before) - len(wrong), before.names)
    contents = {before.content(i): before.names[before.labels[i]] for i in range(len(before))}
    assert all(contents[after.content(i)] == after.names[after.labels[i]] for i in range(len(after)))
    assert (found.images, found.beyond, found.rest, found.people_left) == (len(before), len(wrong), 0, PEOPLE)


def test_people_with_too_few_left_go_whole(planted: Path, tmp_path: Path) -> None:
    found = clean(planted, "any", tmp_path / "out", angle=70, fewest=3)
    reasons = {row["image"]: row["reason"] for row in rows(tmp_path / "out" / "dropped.csv")}
    assert {reasons[f"p{PEOPLE - 3}/{number}.png"] for number in (0, 1)} == {"fewer than 3 images of this person are "
                                                                            "left"}
    assert (found.rest, found.people_left) == (2, PEOPLE - 1)


def test_one_person_under_two_names_is_listed_and_not_merged(planted: Path, tmp_path: Path) -> None:
    clean(planted, "any", tmp_path / "out")
    (pair,) = rows(tmp_path / "out" / "duplicates.csv")
    assert (pair["person"], pair["other"]) == (f"p{PEOPLE - 2}", f"p{PEOPLE - 1}") and float(pair["cosine"]) > 0.8


def test_a_folder_that_holds_a_set_is_refused_before_any_work(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.rec").write_bytes(b"x")
    with pytest.raises(DataError, match=r"already holds train\.rec"):
        clean(planted, "any", tmp_path / "out")
    assert not (tmp_path / "out" / "embeddings.npy").exists()


def test_a_model_that_sees_nothing_leaves_nothing_and_says_so(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing of .* would be left"):
        clean(planted, "any", tmp_path / "out", angle=1)


@pytest.mark.parametrize("wrong", [{"angle": 0.0}, {"angle": 180.0}, {"fewest": 0}])
def test_senseless_limits_are_refused(planted: Path, tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="cannot be"):
        clean(planted, "any", tmp_path / "out", **wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def sub_centred(small_faces: Path, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny teacher under a head of three centres a class."""
    out = tmp_path_factory.mktemp("sub_centred") / "run"
    return teach(small_faces, out, *small, "head.centres=3", "route.every=0")


def test_a_run_with_sub_centres_measures_from_the_dominant_one(
    small_faces: Path, sub_centred: Path, tmp_path: Path
) -> None:
    faces, model = open_faces(small_faces), load(sub_centred)
    state = checkpoint.newest(sub_centred / "checkpoints")
    assert state is not None
    heads = state[1]["method"]["head.weight"].numpy()
    crops = np.stack([faces.pixels(index) for index in range(len(faces))])
    seen, angles = model.embed(crops, flip=False), np.zeros(len(faces))
    for person in range(faces.classes):
        own = [index for index in range(len(faces)) if faces.labels[index] == person]
        centres = [directions(heads[None, 3 * person + k])[0] for k in range(3)]
        votes = [max(range(3), key=lambda k: float(seen[i] @ centres[k])) for i in own]
        centre = centres[max(range(3), key=votes.count)]
        angles[own] = [np.degrees(np.arccos(seen[i] @ centre)) for i in own]
    angle = float(np.median(angles))
    found = clean(small_faces, sub_centred, tmp_path / "out", angle=angle, fewest=1, device="cpu")
    assert "dominant" in found.way
    expected = {faces.name(i): f"{angles[i]:.2f}" for i in np.flatnonzero(angles > angle).tolist()}
    given = {row["image"]: row["angle"] for row in rows(tmp_path / "out" / "dropped.csv")}
    assert set(given) == set(expected)
    assert all(float(given[name]) == pytest.approx(float(expected[name]), abs=0.02) for name in given)


def test_sub_centres_of_another_set_are_refused(sub_centred: Path, small_faces: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for index, image in enumerate(sorted(small_faces.rglob("*.*"))[::-1]):
        files.write_bytes(other / image.parent.name / f"{index}{image.suffix}", image.read_bytes())
    with pytest.raises(DataError, match="was trained on other images"):
        clean(other, sub_centred, tmp_path / "out", device="cpu")


def test_a_run_with_one_centre_a_class_measures_from_the_mean(taught: Path, small_faces: Path, tmp_path: Path) -> None:
    assert "mean" in clean(small_faces, taught, tmp_path / "out", angle=100, device="cpu").way


def test_the_command_line_says_what_was_done(
    planted: Path, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("clean", planted, "any", tmp_path / "out", "--angle", 70, "--fewest", 3) == 0
    said = capsys.readouterr().out
    assert "dropped.csv" in said and "beyond 70 degrees" in said
