from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.containers.recordio_writer import pack
from facekd.data.diagnosis.diagnose import diagnose
from facekd.data.opening import open_faces
from tests.data.diagnosis.face_sets import (
    SKIN,
    diagnose_paths,
    encode_jpeg,
    noise_jpeg,
    record_set,
    single_finding,
    write_image,
    write_people,
)


@pytest.fixture
def packed_set(folder: Path, tmp_path: Path) -> Path:
    return pack(open_faces(folder), tmp_path / "packed").folder


@pytest.mark.parametrize("kind", ["empty", "text", "half", "no end"])
def test_unreadable_image_is_an_error(folder: Path, kind: str) -> None:
    whole = noise_jpeg(99)
    data = {"empty": b"", "text": b"no image", "half": whole[: len(whole) // 2], "no end": whole[:-2]}[kind]
    path = write_image(folder, "Bo/bad.jpg", data)
    diagnosis = diagnose_paths(folder)
    finding = single_finding(diagnosis)
    assert (finding.level, finding.count, diagnosis.ok) == ("error", 1, False)
    assert str(path) in finding.examples and "restore" in finding.advice


def test_near_empty_identities(folder: Path) -> None:
    write_image(folder, "Dan/0.jpg", noise_jpeg(50))
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count, finding.examples) == ("warning", 1, "Dan (1)")


def test_min_images_moves_the_threshold(folder: Path) -> None:
    write_image(folder, "Ada/3.jpg", noise_jpeg(50))
    finding = single_finding(diagnose_paths(folder, min_images=4))
    assert (finding.count, finding.examples) == (2, "Bo (3); Cy (3)")


def test_one_image_each_is_a_note(tmp_path: Path) -> None:
    for number, name in enumerate(["Ada", "Bo"]):
        write_image(tmp_path, f"{name}/0.jpg", noise_jpeg(number))
    finding = single_finding(diagnose_paths(tmp_path))
    assert (finding.level, finding.count) == ("note", 2)


def test_empty_subfolder(folder: Path) -> None:
    (folder / "Dan").mkdir()
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.examples) == ("warning", "Dan")


def test_ignored_files(folder: Path) -> None:
    write_image(folder, "notes.txt", b"text")
    write_image(folder, "Ada/notes.txt", b"text")
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count) == ("note", 2)


def test_duplicate_of_the_same_person(folder: Path) -> None:
    shutil.copy(folder / "Ada" / "0.jpg", folder / "Ada" / "copy.jpg")
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count) == ("warning", 1)
    assert finding.examples == f"{folder / 'Ada' / '0.jpg'} = {folder / 'Ada' / 'copy.jpg'}"


def test_duplicate_under_two_people_is_an_error(folder: Path) -> None:
    for number in range(2):
        shutil.copy(folder / "Ada" / "0.jpg", folder / "Bo" / f"copy{number}.jpg")
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count) == ("error", 1)
    assert str(folder / "Ada" / "0.jpg") in finding.examples and str(folder / "Bo" / "copy0.jpg") in finding.examples


def test_unreadable_images_are_no_duplicates(folder: Path) -> None:
    write_image(folder, "Ada/bad.jpg", b"no image")
    write_image(folder, "Bo/bad.jpg", b"no image")
    assert "cannot be read" in single_finding(diagnose_paths(folder)).message


def test_images_that_are_not_square(folder: Path) -> None:
    for number in range(9):
        write_image(folder, f"{['Ada', 'Bo', 'Cy'][number % 3]}/{number // 3}.jpg", noise_jpeg(number, 40, 32))
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count) == ("error", 9)
    assert "(40x32)" in finding.examples and "facekd align" in finding.advice


def test_mixed_sizes(folder: Path) -> None:
    path = write_image(folder, "Ada/big.jpg", noise_jpeg(50, 64, 64))
    finding = single_finding(diagnose_paths(folder))
    assert (finding.level, finding.count, finding.examples) == ("warning", 1, f"{path} (64x64)")


def test_the_requested_size(folder: Path) -> None:
    finding = single_finding(diagnose_paths(folder, size=112))
    assert finding.count == 9 and "are not 112x112" in finding.message


def test_swapped_colors(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path, f"{'Ada' if number % 2 else 'Bo'}/{number}.jpg", noise_jpeg(number, color=SKIN[::-1]))
    finding = single_finding(diagnose_paths(tmp_path))
    assert (finding.level, finding.count) == ("warning", 4) and "color order" in finding.message


def test_gray_images_are_no_swapped_colors(tmp_path: Path) -> None:
    for number in range(4):
        name = f"{'Ada' if number % 2 else 'Bo'}/{number}.jpg"
        write_image(tmp_path, name, noise_jpeg(number, color=(150, 150, 150)))
    assert diagnose_paths(tmp_path).findings == []


def test_healthy_records_have_no_findings(packed_set: Path) -> None:
    assert diagnose_paths(packed_set, size=32).findings == []


def test_property_of_another_size(packed_set: Path) -> None:
    (packed_set / "property").write_text("3,112,112")
    finding = single_finding(diagnose_paths(packed_set))
    assert (finding.level, finding.count) == ("warning", 9) and "are not 112x112 as 'property' says" in finding.message


def test_property_of_another_number_of_identities(packed_set: Path) -> None:
    (packed_set / "property").write_text("7,32,32")
    finding = single_finding(diagnose_paths(packed_set))
    assert finding.level == "warning" and "says 7 identities, its labels 3" in finding.message


def test_labels_with_gaps(tmp_path: Path) -> None:
    finding = single_finding(diagnose([record_set(tmp_path / "set", [0, 0, 2, 2, 5, 5])]))
    assert (finding.level, finding.count, finding.examples) == ("warning", 3, "label 1; label 3; label 4")
    assert "3 of 0 to 5 have no image" in finding.message


def test_identity_records_that_contradict_the_labels(tmp_path: Path) -> None:
    healthy = record_set(tmp_path / "right", [0, 0, 1, 1, 1], [(1, 3), (3, 6)])
    assert diagnose([healthy]).findings == []
    finding = single_finding(diagnose([record_set(tmp_path / "wrong", [0, 0, 1, 1, 1], [(1, 4), (4, 6)])]))
    assert finding.level == "warning" and "identity records" in finding.message


def test_damaged_identity_record(tmp_path: Path) -> None:
    diagnosis = diagnose([record_set(tmp_path / "set", [0, 0, 1, 1], [(1, 3), (3.5, 5)])])
    assert single_finding(diagnosis).level == "error" and "identity records" in single_finding(diagnosis).message


def test_sets_that_share_nothing_are_told_so(folder: Path, tmp_path: Path) -> None:
    finding = single_finding(diagnose_paths(folder, write_people(tmp_path / "other", ["Dan", "Eve"], 500)))
    assert finding.level == "note" and finding.message.startswith("no name and no image is shared between")


def test_shared_names(folder: Path, tmp_path: Path) -> None:
    finding = single_finding(diagnose_paths(folder, write_people(tmp_path / "other", ["Bo", "Cy", "Dan"], 500)))
    assert (finding.level, finding.count, finding.examples) == ("warning", 2, "Bo; Cy")


def test_shared_images_are_an_error(folder: Path, tmp_path: Path) -> None:
    other = write_people(tmp_path / "other", ["Dan", "Eve"], 500)
    shutil.copy(folder / "Ada" / "1.jpg", other / "Dan" / "9.jpg")
    diagnosis = diagnose_paths(folder, other)
    finding = single_finding(diagnosis)
    assert (finding.level, finding.count, diagnosis.ok) == ("error", 1, False)
    assert finding.examples == f"{folder / 'Ada' / '1.jpg'} = {other / 'Dan' / '9.jpg'}"


def test_a_single_identity_is_a_warning(tmp_path: Path) -> None:
    diagnosis = diagnose_paths(write_people(tmp_path / "set", ["Ada"], 0))
    finding = single_finding(diagnosis)
    assert (finding.level, diagnosis.ok) == ("warning", True)
    assert "are of one identity, from whose labels nothing can be learned" in finding.message


def test_a_picture_bomb_is_named_and_the_rest_examined(folder: Path) -> None:
    bomb = bytearray(noise_jpeg(99))
    start = bomb.index(b"\xff\xc0") + 5
    bomb[start : start + 4] = (65_500).to_bytes(2, "big") * 2
    path = write_image(folder, "Ada/bomb.jpg", bytes(bomb))
    finding = single_finding(diagnose_paths(folder))
    assert finding.level == "error"
    assert finding.examples.startswith(f"{path} has 65,500 x 65,500 pixels")


def test_numbers_are_no_names(folder: Path, tmp_path: Path) -> None:
    first = write_people(tmp_path / "first", ["001", "002"], 500)
    other = write_people(tmp_path / "other", ["001", "002"], 600)
    finding = single_finding(diagnose_paths(first, other))
    assert finding.message.startswith("no image is shared") and "numbers" in finding.advice
    assert "numbers" in single_finding(diagnose_paths(folder, other)).advice


def test_real_faces_with_swapped_channels_are_found(shared: Path, tmp_path: Path) -> None:
    for person in ("001", "002", "003"):
        for path in sorted((shared / "faces" / "cfp" / person / "frontal").glob("*.jpg")):
            image = cv2.imread(str(path))  # OpenCV gives BGR; taken for RGB and saved, the channels are swapped
            assert image is not None
            write_image(tmp_path, f"{person}/{path.name}", encode_jpeg(np.asarray(image, np.uint8)))
    assert "color order" in single_finding(diagnose_paths(tmp_path)).message
