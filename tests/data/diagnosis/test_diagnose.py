from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.containers.recordio import Header, RecordWriter
from facekd.data.containers.recordio_writer import pack
from facekd.data.diagnosis.diagnose import Diagnosis, examine
from facekd.data.diagnosis.finding import Finding
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.data.transforms import Crops

SKIN = (200, 150, 120)


def picture(seed: int, width: int = 32, height: int = 32, tone: Sequence[int] = SKIN) -> bytes:
    """A JPEG of noise around an RGB tone."""
    noise = np.random.default_rng(seed).integers(-30, 31, (height, width, 1))
    image = np.clip(noise + np.array(tone), 0, 255).astype(np.uint8)
    return encoded(image)


def encoded(image: Crops) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return bytes(data.tobytes())


def add(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A healthy set: Ada, Bo and Cy with three images each."""
    root = tmp_path / "set"
    for number, name in enumerate(["Ada", "Bo", "Cy"]):
        for image in range(3):
            add(root, f"{name}/{image}.jpg", picture(10 * number + image))
    return root


def only(diagnosis: Diagnosis) -> Finding:
    (finding,) = diagnosis.findings
    return finding


def look(*paths: Path, size: int | None = None, few: int = 2) -> Diagnosis:
    return examine([open_faces(path) for path in paths], size, few)


def test_healthy_set_has_no_findings(folder: Path) -> None:
    diagnosis = look(folder, size=32)
    assert diagnosis.ok and diagnosis.findings == []


def test_summary_counts(folder: Path) -> None:
    add(folder, "Dan/0.jpg", picture(50, 40, 40))
    add(folder, "Dan/1.jpg", b"no image")
    (summary,) = look(folder).sets
    assert (summary.images, summary.identities, summary.unreadable) == (11, 4, 1)
    assert (summary.fewest, summary.median, summary.most) == (2, 3.0, 3)
    assert summary.sizes == {"32x32": 9, "40x40": 1}
    assert summary.redness == pytest.approx(80, abs=5)


def test_diagnosis_goes_into_json(folder: Path) -> None:
    add(folder, "Ada/bad.jpg", b"no image")
    content = json.loads(json.dumps(look(folder).to_dict(), allow_nan=False))
    assert content["ok"] is False
    assert content["sets"][0]["images"] == 10
    assert content["findings"][0]["level"] == "error" and content["findings"][0]["count"] == 1


@pytest.mark.parametrize("kind", ["empty", "text", "half", "no end"])
def test_unreadable_image_is_an_error(folder: Path, kind: str) -> None:
    whole = picture(99)
    data = {"empty": b"", "text": b"no image", "half": whole[: len(whole) // 2], "no end": whole[:-2]}[kind]
    path = add(folder, "Bo/bad.jpg", data)
    diagnosis = look(folder)
    finding = only(diagnosis)
    assert (finding.level, finding.count, diagnosis.ok) == ("error", 1, False)
    assert str(path) in finding.where and "restore" in finding.advice


def test_all_unreadable(tmp_path: Path) -> None:
    for number in range(5):
        add(tmp_path, f"Ada/{number}.jpg", b"no image")
    diagnosis = look(tmp_path, size=32)
    assert only(diagnosis).count == 5 and "and 2 more" in only(diagnosis).where
    assert diagnosis.sets[0].redness is None


def test_near_empty_identities(folder: Path) -> None:
    add(folder, "Dan/0.jpg", picture(50))
    finding = only(look(folder))
    assert (finding.level, finding.count, finding.where) == ("warning", 1, "Dan (1)")


def test_few_moves_the_threshold(folder: Path) -> None:
    add(folder, "Ada/3.jpg", picture(50))
    finding = only(look(folder, few=4))
    assert (finding.count, finding.where) == (2, "Bo (3); Cy (3)")


def test_one_image_each_is_a_note(tmp_path: Path) -> None:
    for number, name in enumerate(["Ada", "Bo"]):
        add(tmp_path, f"{name}/0.jpg", picture(number))
    finding = only(look(tmp_path))
    assert (finding.level, finding.count) == ("note", 2)


def test_empty_subfolder(folder: Path) -> None:
    (folder / "Dan").mkdir()
    finding = only(look(folder))
    assert (finding.level, finding.where) == ("warning", "Dan")


def test_ignored_files(folder: Path) -> None:
    add(folder, "notes.txt", b"text")
    add(folder, "Ada/notes.txt", b"text")
    finding = only(look(folder))
    assert (finding.level, finding.count) == ("note", 2)


def test_duplicate_of_the_same_person(folder: Path) -> None:
    shutil.copy(folder / "Ada" / "0.jpg", folder / "Ada" / "copy.jpg")
    finding = only(look(folder))
    assert (finding.level, finding.count) == ("warning", 1)
    assert finding.where == f"{folder / 'Ada' / '0.jpg'} = {folder / 'Ada' / 'copy.jpg'}"


def test_duplicate_under_two_people_is_an_error(folder: Path) -> None:
    for number in range(2):
        shutil.copy(folder / "Ada" / "0.jpg", folder / "Bo" / f"copy{number}.jpg")
    finding = only(look(folder))
    assert (finding.level, finding.count) == ("error", 1)
    assert str(folder / "Ada" / "0.jpg") in finding.where and str(folder / "Bo" / "copy0.jpg") in finding.where


def test_unreadable_images_are_no_duplicates(folder: Path) -> None:
    add(folder, "Ada/bad.jpg", b"no image")
    add(folder, "Bo/bad.jpg", b"no image")
    assert "cannot be read" in only(look(folder)).what


def test_images_that_are_not_square(folder: Path) -> None:
    for number in range(9):
        add(folder, f"{['Ada', 'Bo', 'Cy'][number % 3]}/{number // 3}.jpg", picture(number, 40, 32))
    finding = only(look(folder))
    assert (finding.level, finding.count) == ("error", 9)
    assert "(40x32)" in finding.where and "facekd align" in finding.advice


def test_mixed_sizes(folder: Path) -> None:
    path = add(folder, "Ada/big.jpg", picture(50, 64, 64))
    finding = only(look(folder))
    assert (finding.level, finding.count, finding.where) == ("warning", 1, f"{path} (64x64)")


def test_size_that_was_asked_for(folder: Path) -> None:
    finding = only(look(folder, size=112))
    assert finding.count == 9 and "are not 112x112" in finding.what


def test_swapped_colours(tmp_path: Path) -> None:
    for number in range(4):
        add(tmp_path, f"Ada/{number}.jpg", picture(number, tone=SKIN[::-1]))
    finding = only(look(tmp_path))
    assert (finding.level, finding.count) == ("warning", 4) and "colour order" in finding.what


def test_grey_pictures_are_no_swapped_colours(tmp_path: Path) -> None:
    for number in range(4):
        add(tmp_path, f"Ada/{number}.jpg", picture(number, tone=(150, 150, 150)))
    assert look(tmp_path).findings == []


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack(open_faces(folder), tmp_path / "packed").folder


def test_healthy_records_have_no_findings(packed: Path) -> None:
    assert look(packed, size=32).findings == []


def test_property_of_another_size(packed: Path) -> None:
    (packed / "property").write_text("3,112,112")
    finding = only(look(packed))
    assert (finding.level, finding.count) == ("warning", 9) and "are not 112x112 as 'property' says" in finding.what


def test_property_of_another_number_of_identities(packed: Path) -> None:
    (packed / "property").write_text("7,32,32")
    finding = only(look(packed))
    assert finding.level == "warning" and "says 7 identities, its labels 3" in finding.what


def records(folder: Path, labels: Sequence[float], ranges: Sequence[tuple[float, float]] = ()) -> FaceSet:
    """A RecordIO set with one picture a label, and identity records as told."""
    folder.mkdir()
    count = len(labels)
    with (folder / "train.rec").open("wb") as rec, (folder / "train.idx").open("w") as index:
        writer = RecordWriter(rec, index)
        writer.write(0, Header(0.0, 0, vector=(count + 1.0, count + 1.0 + len(ranges))), b"")
        for key, label in enumerate(labels, 1):
            writer.write(key, Header(label, key), picture(key))
        for key, span in enumerate(ranges, count + 1):
            writer.write(key, Header(0.0, key, vector=span), b"")
    return open_faces(folder)


def test_labels_with_gaps(tmp_path: Path) -> None:
    finding = only(examine([records(tmp_path / "set", [0, 0, 2, 2, 5, 5])]))
    assert (finding.level, finding.count, finding.where) == ("warning", 3, "label 1; label 3; label 4")
    assert "3 of 0 to 5 have no image" in finding.what


def test_pack_numbers_gaps_anew_as_the_advice_says(tmp_path: Path) -> None:
    again = pack(records(tmp_path / "set", [0, 0, 2, 2, 5, 5]), tmp_path / "again").folder
    assert look(again).findings == []


def test_identity_records_that_contradict_the_labels(tmp_path: Path) -> None:
    healthy = records(tmp_path / "right", [0, 0, 1, 1, 1], [(1, 3), (3, 6)])
    assert examine([healthy]).findings == []
    finding = only(examine([records(tmp_path / "wrong", [0, 0, 1, 1, 1], [(1, 4), (4, 6)])]))
    assert finding.level == "warning" and "identity records" in finding.what


def test_damaged_identity_record(tmp_path: Path) -> None:
    diagnosis = examine([records(tmp_path / "set", [0, 0, 1, 1], [(1, 3), (3.5, 5)])])
    assert only(diagnosis).level == "error" and "identity records" in only(diagnosis).what


def people(root: Path, names: Sequence[str], seed: int) -> Path:
    for number, name in enumerate(names):
        for image in range(2):
            add(root, f"{name}/{image}.jpg", picture(seed + 10 * number + image))
    return root


def test_sets_that_share_nothing_are_told_so(folder: Path, tmp_path: Path) -> None:
    finding = only(look(folder, people(tmp_path / "other", ["Dan", "Eve"], 500)))
    assert finding.level == "note" and finding.what.startswith("no name and no image is shared between")


def test_shared_names(folder: Path, tmp_path: Path) -> None:
    finding = only(look(folder, people(tmp_path / "other", ["Bo", "Cy", "Dan"], 500)))
    assert (finding.level, finding.count, finding.where) == ("warning", 2, "Bo; Cy")


def test_shared_images_are_an_error(folder: Path, tmp_path: Path) -> None:
    other = people(tmp_path / "other", ["Dan"], 500)
    shutil.copy(folder / "Ada" / "1.jpg", other / "Dan" / "9.jpg")
    diagnosis = look(folder, other)
    finding = only(diagnosis)
    assert (finding.level, finding.count, diagnosis.ok) == ("error", 1, False)
    assert finding.where == f"{folder / 'Ada' / '1.jpg'} = {other / 'Dan' / '9.jpg'}"


def test_numbers_are_no_names(folder: Path, tmp_path: Path) -> None:
    one, other = people(tmp_path / "one", ["001", "002"], 500), people(tmp_path / "other", ["001", "002"], 600)
    finding = only(look(one, other))
    assert finding.what.startswith("no image is shared") and "numbers" in finding.advice
    assert "numbers" in only(look(folder, other)).advice


def test_every_pair_of_sets_is_compared(tmp_path: Path) -> None:
    sets = [people(tmp_path / name, [name], 100 * number) for number, name in enumerate(["a", "b", "c"])]
    assert [finding.level for finding in look(*sets).findings] == ["note"] * 3


def test_errors_come_first(folder: Path) -> None:
    add(folder, "notes.txt", b"text")
    add(folder, "Dan/0.jpg", picture(50))
    add(folder, "Ada/bad.jpg", b"no image")
    assert [finding.level for finding in look(folder).findings] == ["error", "warning", "note"]


def test_every_finding_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    add(folder, "notes.txt", b"text")
    add(folder, "Dan/0.jpg", picture(50, 40, 32))
    add(folder, "Ada/bad.jpg", b"no image")
    findings = look(folder, people(tmp_path / "other", ["Bo"], 500), size=112).findings
    assert len(findings) > 5 and all(finding.advice for finding in findings)


def test_real_sets_share_nothing_and_are_well(shared: Path) -> None:
    faces = shared / "faces"
    diagnosis = look(faces / "train", faces / "distractors", faces / "cfp", size=112)
    assert [(summary.images, summary.identities) for summary in diagnosis.sets] == [
        (8395, 1554), (4021, 4021), (5600, 400),
    ]  # fmt: skip
    said = [(finding.level, finding.count, finding.what.split("/")[0]) for finding in diagnosis.findings]
    assert said == [
        ("warning", 23, "23 images of "),
        ("note", 4021, "4021 of 4021 identities in "),
        ("note", 2, "2 files in "),
        *[("note", 0, "no name and no image is shared between ")] * 3,
    ]


def test_real_faces_with_swapped_channels_are_found(shared: Path, tmp_path: Path) -> None:
    for person in ("001", "002", "003"):
        for path in sorted((shared / "faces" / "cfp" / person / "frontal").glob("*.jpg")):
            image = cv2.imread(str(path))  # OpenCV gives BGR; taken for RGB and saved, the channels are swapped
            assert image is not None
            add(tmp_path, f"{person}/{path.name}", encoded(np.asarray(image, np.uint8)))
    assert "colour order" in only(look(tmp_path)).what
