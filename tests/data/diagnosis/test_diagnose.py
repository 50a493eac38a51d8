from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from facekd.data.containers.recordio_writer import pack
from facekd.data.diagnosis.diagnose import diagnose
from facekd.data.opening import open_faces
from facekd.io.files import write_json
from tests.data.diagnosis.face_sets import (
    diagnose_paths,
    noise_jpeg,
    record_set,
    single_finding,
    write_image,
    write_people,
)


def test_healthy_set_has_no_findings(folder: Path) -> None:
    diagnosis = diagnose_paths(folder, size=32)
    assert diagnosis.ok and diagnosis.findings == []


def test_summary_counts(folder: Path) -> None:
    write_image(folder, "Dan/0.jpg", noise_jpeg(50, 40, 40))
    write_image(folder, "Dan/1.jpg", b"no image")
    (summary,) = diagnose_paths(folder).sets
    assert (summary.images, summary.identities, summary.unreadable) == (11, 4, 1)
    assert (summary.fewest, summary.median, summary.most) == (2, 3.0, 3)
    assert summary.sizes == {"32x32": 9, "40x40": 1}
    assert summary.redness == pytest.approx(80, abs=5)


def test_diagnosis_goes_into_json(folder: Path) -> None:
    write_image(folder, "Ada/bad.jpg", b"no image")
    content = json.loads(json.dumps(diagnose_paths(folder).to_dict(), allow_nan=False))
    assert content["ok"] is False
    assert content["sets"][0]["images"] == 10
    assert content["findings"][0]["level"] == "error" and content["findings"][0]["count"] == 1


def test_all_unreadable(tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path, f"{'Ada' if number % 2 else 'Bo'}/{number}.jpg", b"no image")
    diagnosis = diagnose_paths(tmp_path, size=32)
    assert single_finding(diagnosis).count == 6 and "and 3 more" in single_finding(diagnosis).examples
    assert "--json FILE names all of them" in single_finding(diagnosis).advice
    assert [reason.split("/")[-1].split()[0] for reason in diagnosis.sets[0].unreadable_images] == [
        "1.jpg", "3.jpg", "5.jpg", "0.jpg", "2.jpg", "4.jpg",
    ]
    assert diagnosis.sets[0].redness is None


def test_control_characters_of_names_are_escaped(tmp_path: Path) -> None:
    for name in ("a\x1b]0;title\x07", "b\nerror: forged"):
        write_image(tmp_path / "set", f"{name}/1.jpg", noise_jpeg(1))
    text = diagnose_paths(tmp_path / "set").describe()
    assert "\x1b" not in text
    assert "\nerror: forged" not in text


def test_names_that_are_not_utf8_go_into_text_and_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    write_image(tmp_path / name, f"{name}/1.jpg", b"no image")
    write_image(tmp_path / name, "Bo/1.jpg", noise_jpeg(1))
    diagnosis = diagnose_paths(tmp_path / name)
    assert r"\xff\xfe" in diagnosis.describe().encode("utf-8", "strict").decode()
    write_json(tmp_path / "out.json", diagnosis.to_dict())
    assert json.loads((tmp_path / "out.json").read_bytes())["sets"][0]["path"] == str(tmp_path / name)


def test_every_pair_of_sets_is_compared(tmp_path: Path) -> None:
    sets = [write_people(tmp_path / name, [name, 2 * name], 100 * number) for number, name in enumerate("abc")]
    assert [finding.level for finding in diagnose_paths(*sets).findings] == ["note"] * 3


def test_errors_come_first(folder: Path) -> None:
    write_image(folder, "notes.txt", b"text")
    write_image(folder, "Dan/0.jpg", noise_jpeg(50))
    write_image(folder, "Ada/bad.jpg", b"no image")
    assert [finding.level for finding in diagnose_paths(folder).findings] == ["error", "warning", "note"]


def test_every_finding_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    write_image(folder, "notes.txt", b"text")
    write_image(folder, "Dan/0.jpg", noise_jpeg(50, 40, 32))
    write_image(folder, "Ada/bad.jpg", b"no image")
    findings = diagnose_paths(folder, write_people(tmp_path / "other", ["Bo"], 500), size=112).findings
    assert len(findings) > 5 and all(finding.advice for finding in findings)


def test_real_sets_share_nothing_and_are_well(shared: Path) -> None:
    faces = shared / "faces"
    sets = [open_faces(faces / "train"), open_faces(faces / "distractors"), open_faces(faces / "cfp", labels=True)]
    diagnosis = diagnose(sets, size=112)
    assert [(summary.images, summary.identities) for summary in diagnosis.sets] == [
        (8395, 1554), (4021, 4021), (5600, 400),
    ]  # fmt: skip
    facts = [(finding.level, finding.count, finding.message.split("/")[0]) for finding in diagnosis.findings]
    assert facts == [
        ("warning", 23, "23 images of "),
        ("note", 4021, "4021 of 4021 identities in "),
        ("note", 2, "2 files in "),
        *[("note", 0, "no name and no image is shared between ")] * 3,
    ]


def test_pack_numbers_gaps_anew_as_the_advice_says(tmp_path: Path) -> None:
    again = pack(record_set(tmp_path / "set", [0, 0, 2, 2, 5, 5]), tmp_path / "again").folder
    assert diagnose_paths(again).findings == []


def test_the_description_names_sets_problems_and_advice(folder: Path) -> None:
    path = write_image(folder, "Ada/bad.jpg", b"no image")
    assert diagnose_paths(folder).describe().splitlines() == [
        f"{folder}: 10 images of 3 people, 3 to 4 each (median 3), 32x32",
        f"error: 1 of 10 images in {folder} cannot be read",
        f"    examples: {path} does not decode as an image; remove it or replace it with a readable one",
        "    restore these images or remove them, then pack again",
    ]
