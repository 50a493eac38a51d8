from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.data.alignment import align
from facekd.data.alignment.align_summary import AlignSummary
from facekd.data.alignment.detector import DetectedFace, Detector
from facekd.data.alignment.detector_file import open_detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.containers.image_folder import FolderFaces
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import render_photo
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from tests.held_lock import held_lock

Image = NDArray[np.uint8]


def detected(image: Image, points: NDArray[np.float32]) -> DetectedFace:
    return DetectedFace(np.array([0, 0, *image.shape[1::-1]], np.float32), points, 0.9)


class FakeDetector(Detector):
    """Returns prepared faces, selected by the top left pixel of the photograph, and counts its calls."""

    fingerprint = "known"

    def __init__(self, faces: dict[int, list[DetectedFace]]) -> None:
        self.faces = faces
        self.calls = 0

    def __call__(self, image: Image) -> list[DetectedFace]:
        self.calls += 1
        return self.faces[int(image[0, 0, 0])]

    def detect(self, bgr: Image) -> list[DetectedFace]:
        raise AssertionError("not reached")


@pytest.fixture
def album(tmp_path: Path) -> tuple[Path, FakeDetector]:
    """Two photographs of ann (one nested, one a JPEG), one with two faces, one without, one damaged, one other file."""
    photos = tmp_path / "photos"
    faces = {}
    for key, (name, seed) in enumerate({"ann/a.png": 0, "ann/trip/b.jpg": 1, "bob/c.png": 2, "bob/d.png": 3}.items()):
        image, points = render_photo(seed, 0)
        image[:40, :40] = 60 * key
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photos / name), image[..., ::-1])
        faces[60 * key] = [[detected(image, points)], [detected(image, points)] * 2, []][max(0, key - 1)]
    (photos / "bob" / "e.jpg").write_bytes(b"\xff\xd8 no picture")
    (photos / "bob" / "notes.txt").write_text("x")
    return photos, FakeDetector(faces)


def test_folder_counts_every_photograph(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    summary = align.align_folder(photos, tmp_path / "out", detector)
    assert summary == AlignSummary(
        photographs=5,
        crops=3,
        reused=0,
        multiple_faces=["bob/c.png"],
        no_face=["bob/d.png"],
        unreadable=["bob/e.jpg"],
        ignored=1,
    )


def test_folder_becomes_a_face_set(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector)
    faces = FolderFaces(tmp_path / "out")
    assert [faces.location(index).removeprefix(f"{tmp_path}/out/") for index in range(len(faces))] == [
        "ann/a.png.jpg", "ann/trip/b.jpg", "bob/c.png.jpg"
    ]  # fmt: skip


def test_png_crops_are_lossless_and_rgb(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector, size=96, png=True)
    image = decode((photos / "ann/a.png").read_bytes(), "a")
    crop = decode((tmp_path / "out/ann/a.png").read_bytes(), "crop")
    np.testing.assert_array_equal(crop, warp_face(image, detector.faces[0][0].landmarks, 96))


def test_only_what_is_missing_is_made_again(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector)
    (tmp_path / "out/ann/trip/b.jpg").unlink()
    detector.calls = 0
    summary = align.align_folder(photos, tmp_path / "out", detector)
    assert (summary.crops, summary.reused, detector.calls) == (3, 2, 2)  # b, and d that had no face


def test_points_are_listed(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector)
    entry = json.loads((tmp_path / "out/align.json").read_text())["photographs"]["bob/c.png"]
    assert (entry["faces"], [face["crop"] for face in entry["crops"]]) == (2, ["bob/c.png.jpg"])
    np.testing.assert_allclose(entry["crops"][0]["landmarks"], detector.faces[120][0].landmarks, atol=1e-3)


def test_other_settings_are_refused(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector)
    with pytest.raises(DataError, match="made with size 112, now it is 96"):
        align.align_folder(photos, tmp_path / "out", detector, size=96)


@pytest.mark.parametrize("inside", ["photos", "photos/crops", "."])
def test_crops_never_land_among_photographs(album: tuple[Path, FakeDetector], tmp_path: Path, inside: str) -> None:
    with pytest.raises(DataError, match="contain one another"):
        align.align_folder(album[0], tmp_path / inside, album[1])


def test_two_photographs_with_one_crop_are_refused(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    (album[0] / "ann/a.png.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="rename one"):
        align.align_folder(album[0], tmp_path / "out", album[1])


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="holds no photographs"):
        align.align_folder(tmp_path / "photos", tmp_path / "out", FakeDetector({}))


@pytest.mark.parametrize("size", [-1, 0, 1, 15, 2049, 1_000_000])
def test_a_size_without_sense_is_refused(album: tuple[Path, FakeDetector], tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match=f"crops of {size} pixels cannot be made; give a size of 16 to 2048"):
        align.align_folder(album[0], tmp_path / "out", album[1], size=size)
    assert not (tmp_path / "out").exists()


def test_names_that_are_not_utf8_are_resumed(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    (photos / "ann").rename(photos / os.fsdecode(b"ann-\xff\xfe"))
    assert align.align_folder(photos, tmp_path / "out", detector).crops == 3
    detector.calls = 0
    assert align.align_folder(photos, tmp_path / "out", detector).reused == 3
    assert detector.calls == 1  # d, which has no face


def test_a_picture_bomb_is_unreadable_and_the_others_are_aligned(
    album: tuple[Path, FakeDetector], tmp_path: Path
) -> None:
    photos, detector = album
    bomb = bytearray((photos / "ann/trip/b.jpg").read_bytes())
    start = bomb.index(b"\xff\xc0") + 5
    bomb[start : start + 4] = (65_500).to_bytes(2, "big") * 2
    (photos / "ann" / "bomb.jpg").write_bytes(bomb)
    summary = align.align_folder(photos, tmp_path / "out", detector)
    assert (summary.crops, summary.unreadable) == (3, ["ann/bomb.jpg", "bob/e.jpg"])


def test_landmarks_without_an_alignment_are_no_face(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    detector.faces[0][0].landmarks[:] = 5
    assert align.align_folder(photos, tmp_path / "out", detector).no_face == ["ann/a.png", "bob/d.png"]


def test_what_was_done_is_kept_when_it_is_stopped(album: tuple[Path, FakeDetector], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    photos, detector = album
    real = FakeDetector.__call__

    def stop(self: FakeDetector, image: Image) -> list[DetectedFace]:
        if self.calls == 2:
            raise KeyboardInterrupt
        return real(self, image)

    monkeypatch.setattr(FakeDetector, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        align.align_folder(photos, tmp_path / "out", detector)
    monkeypatch.setattr(FakeDetector, "__call__", real)
    assert align.align_folder(photos, tmp_path / "out", detector).reused == 2


def test_another_process_at_the_same_crops_is_named(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    with held_lock(tmp_path / "out"), pytest.raises(SetupError, match="is being written by process"):
        align.align_folder(album[0], tmp_path / "out", album[1])


def test_every_face_becomes_a_crop_with_a_stable_name(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    image, points = render_photo(7, 0)
    detector.faces[120][1] = detected(image, points + 20)
    summary = align.align_folder(photos, tmp_path / "out", detector, png=True, all_faces=True)
    assert (summary.crops, summary.multiple_faces) == (4, ["bob/c.png"])
    photo = decode((photos / "bob/c.png").read_bytes(), "c")
    for name, face in zip(("c.png", "c.face2.png"), detector.faces[120], strict=True):
        crop = decode((tmp_path / "out/bob" / name).read_bytes(), name)
        np.testing.assert_array_equal(crop, warp_face(photo, face.landmarks, 112))
    assert align.align_folder(photos, tmp_path / "out", detector, png=True, all_faces=True).reused == 4


def test_a_missing_crop_of_a_further_face_is_made_again(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    align.align_folder(photos, tmp_path / "out", detector, all_faces=True)
    further = tmp_path / "out/bob/c.png.face2.jpg"
    content = further.read_bytes()
    further.unlink()
    assert align.align_folder(photos, tmp_path / "out", detector, all_faces=True).reused == 2
    assert further.read_bytes() == content


def test_crops_do_not_depend_on_the_number_of_workers(album: tuple[Path, FakeDetector], tmp_path: Path) -> None:
    photos, detector = album
    summaries = [align.align_folder(photos, tmp_path / str(workers), detector, all_faces=True, workers=workers)
                 for workers in (1, 3, 8)]
    assert summaries[0] == summaries[1] == summaries[2]
    contents = [{file.relative_to(tmp_path / str(workers)): file.read_bytes()
                 for file in (tmp_path / str(workers)).rglob("*.j*")} for workers in (1, 3, 8)]
    assert contents[0] == contents[1] == contents[2]


def test_a_detector_is_used_by_one_thread_at_a_time(album: tuple[Path, FakeDetector], tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    users: list[int] = []
    together: list[int] = []

    def detect(self: FakeDetector, image: Image) -> list[DetectedFace]:
        users.append(id(self))
        together.append(len(users) - len(set(users)))
        time.sleep(0.02)
        users.remove(id(self))
        return []

    monkeypatch.setattr(FakeDetector, "__call__", detect)
    align.align_folder(album[0], tmp_path / "out", album[1], workers=3)
    assert together == [0] * 4


def distance_to_training_set(shared: Path, crops: dict[str, Image]) -> dict[str, float]:
    """Return the mean absolute difference of each crop (named PERSON/file) to the closest record of that person."""
    faces = open_faces(shared / "faces" / "train")
    closest = {}
    for name, crop in crops.items():
        label = faces.class_names.index(name.split("/")[0])
        records = [decode(faces.read(int(i)), name).astype(int) for i in np.flatnonzero(faces.labels == label)]
        closest[name] = float(min(np.abs(record - crop).mean() for record in records))
    return closest


def test_crops_from_own_detection_match_the_training_set(shared: Path, tmp_path: Path) -> None:
    detector = open_detector(shared / "faces" / "detector" / "yunet_n_640_640.onnx")
    summary = align.align_folder(shared / "faces" / "photos", tmp_path, detector, workers=2)
    files = list(tmp_path.rglob("*.jpg"))
    crops = {file.relative_to(tmp_path).as_posix(): decode(file.read_bytes(), file.name) for file in files}
    differing = [name for name, value in distance_to_training_set(shared, crops).items() if value > 2.5]
    assert summary.crops == len(crops) == 120
    assert len(differing) <= 2, f"crops that differ from the training set: {differing}"
