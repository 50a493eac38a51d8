from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekd.api.data.clean import clean
from facekd.api.train import train
from facekd.data.opening import open_faces
from facekd.errors import DataError
from facekd.io import files
from facekd.models.loading import load
from facekd.training import checkpoint
from tests.patterns import PatternEmbedder, PatternPainter

IDENTITIES = 20
IMAGES_PER_IDENTITY = 12


@pytest.fixture
def mislabeled_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Identities that are a pattern each, with noise; one image in twelve is in the folder of another identity.

    The last two identities are the same person; the one before them has two images.
    """
    monkeypatch.setattr("facekd.api.data.clean.load", lambda model, device, **options: PatternEmbedder())
    painter = PatternPainter(tmp_path / "faces", IDENTITIES)
    painter.patterns[-1] = painter.patterns[-2]
    for person in (*range(IDENTITIES - 3), IDENTITIES - 2, IDENTITIES - 1):
        for number in range(IMAGES_PER_IDENTITY - 1):
            painter.paint(person, f"p{person:02d}", str(number))
        painter.paint((person + 7) % (IDENTITIES - 3), f"p{person:02d}", "wrong")
    for number in range(2):
        painter.paint(IDENTITIES - 3, f"p{IDENTITIES - 3}", str(number))
    return tmp_path / "faces"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_wrong_images_are_dropped_and_listed(mislabeled_faces: Path, tmp_path: Path) -> None:
    cleaning = clean(mislabeled_faces, "any", tmp_path / "out", angle=70)
    dropped = rows(tmp_path / "out" / "dropped.csv")
    wrong = {f"p{person:02d}/wrong.png" for person in range(IDENTITIES) if person != IDENTITIES - 3}
    assert {row["image"] for row in dropped} == wrong
    assert all(row["identity"] == row["image"][:3] and float(row["angle"]) > 70 for row in dropped)
    before, after = open_faces(mislabeled_faces), open_faces(tmp_path / "out")
    assert (len(after), after.class_names) == (len(before) - len(wrong), before.class_names)
    contents = {before.stored_bytes(i): before.class_names[before.labels[i]] for i in range(len(before))}
    assert all(contents[after.stored_bytes(i)] == after.class_names[after.labels[i]] for i in range(len(after)))
    assert (cleaning.image_count, cleaning.outliers, cleaning.in_small_identities) == (len(before), len(wrong), 0)
    assert (cleaning.identities, cleaning.remaining_identities) == (IDENTITIES, IDENTITIES)


def test_identities_with_too_few_images_left_are_dropped(mislabeled_faces: Path, tmp_path: Path) -> None:
    cleaning = clean(mislabeled_faces, "any", tmp_path / "out", angle=70, min_images=3)
    reasons = {row["image"]: row["reason"] for row in rows(tmp_path / "out" / "dropped.csv")}
    reasons_of_pair = {reasons[f"p{IDENTITIES - 3}/{number}.png"] for number in (0, 1)}
    assert reasons_of_pair == {"fewer than 3 images of this identity are left"}
    assert (cleaning.in_small_identities, cleaning.remaining_identities) == (2, IDENTITIES - 1)


def test_one_person_under_two_names_is_listed_and_not_merged(mislabeled_faces: Path, tmp_path: Path) -> None:
    clean(mislabeled_faces, "any", tmp_path / "out")
    (pair,) = rows(tmp_path / "out" / "duplicates.csv")
    assert (pair["identity"], pair["other_identity"]) == (f"p{IDENTITIES - 2}", f"p{IDENTITIES - 1}")
    assert float(pair["cosine"]) > 0.8
    assert (pair["images"], pair["other_images"]) == (str(IMAGES_PER_IDENTITY), str(IMAGES_PER_IDENTITY))


def test_a_folder_that_holds_a_set_is_refused_before_any_work(mislabeled_faces: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.rec").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds train\.rec"):
        clean(mislabeled_faces, "any", tmp_path / "out")
    assert not (tmp_path / "out" / "embeddings.npy").exists()


def test_a_model_that_sees_nothing_leaves_nothing_and_says_so(mislabeled_faces: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image of .* would be left"):
        clean(mislabeled_faces, "any", tmp_path / "out", angle=1)


@pytest.mark.parametrize("wrong", [{"angle": 0.0}, {"angle": 180.0}, {"min_images": 0}])
def test_senseless_limits_are_refused(mislabeled_faces: Path, tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="are not valid"):
        clean(mislabeled_faces, "any", tmp_path / "out", **wrong)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def sub_center_run(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run of a tiny teacher whose head has three centers per class."""
    out = tmp_path_factory.mktemp("sub_centers") / "run"
    return train(small_faces, out, *tiny_teacher_overrides, "head.sub_centers=3", "route.every_epochs=0")


def test_a_run_with_sub_centers_measures_from_the_dominant_one(
    small_faces: Path, sub_center_run: Path, tmp_path: Path
) -> None:
    faces = open_faces(small_faces)
    newest = checkpoint.load_newest(sub_center_run / "checkpoints")
    assert newest is not None
    weight = newest[1]["method"]["head.weight"].numpy()
    crops = np.stack([faces.pixels(index) for index in range(len(faces))])
    embeddings = load(sub_center_run).embed(crops, flip=False)
    angles = np.zeros(len(faces))
    for identity in range(faces.num_classes):
        images = [index for index in range(len(faces)) if faces.labels[index] == identity]
        centers = [weight[3 * identity + k] / np.linalg.norm(weight[3 * identity + k]) for k in range(3)]
        votes = [max(range(3), key=lambda k: float(embeddings[i] @ centers[k])) for i in images]
        center = centers[max(range(3), key=votes.count)]
        angles[images] = [np.degrees(np.arccos(embeddings[i] @ center)) for i in images]
    angle = float(np.median(angles))
    cleaning = clean(small_faces, sub_center_run, tmp_path / "out", angle=angle, min_images=1, device="cpu")
    assert "dominant" in cleaning.reference
    expected = {faces.image_name(i): f"{angles[i]:.2f}" for i in np.flatnonzero(angles > angle).tolist()}
    written = {row["image"]: row["angle"] for row in rows(tmp_path / "out" / "dropped.csv")}
    assert set(written) == set(expected)
    assert all(float(written[name]) == pytest.approx(float(expected[name]), abs=0.02) for name in written)


def test_sub_centers_of_another_set_are_refused(sub_center_run: Path, small_faces: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for index, image in enumerate(sorted(small_faces.rglob("*.*"))[::-1]):
        files.write_bytes(other / image.parent.name / f"{index}{image.suffix}", image.read_bytes())
    with pytest.raises(DataError, match="was trained on other images"):
        clean(other, sub_center_run, tmp_path / "out", device="cpu")


def test_a_run_with_one_center_a_class_measures_from_the_mean(
    teacher_run: Path, small_faces: Path, tmp_path: Path
) -> None:
    assert "mean" in clean(small_faces, teacher_run, tmp_path / "out", angle=100, device="cpu").reference


def test_the_command_line_prints_what_was_done(
    mislabeled_faces: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("clean", mislabeled_faces, "any", tmp_path / "out", "--angle", 70, "--min-images", 3) == 0
    output = capsys.readouterr().out
    assert "dropped.csv" in output and "beyond 70 degrees" in output
