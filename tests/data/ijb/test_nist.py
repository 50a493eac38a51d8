"""The real protocols may not be redistributed: the files read here are invented, in their formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.ijb.opening import open_ijb
from facekd.errors import DataError
from tests.data.ijb.protocol_files import GALLERY_1, GALLERY_2, PROBES, write_lines


def test_nist_templates(nist: Path) -> None:
    protocol = open_ijb(nist)
    assert protocol.names[:3] == ["img/1.jpg", "frames/2.png", "frames/3.png"]
    assert protocol.ids[protocol.template_index].tolist() == [10, 10, 10, 7, 20, 21, 22]
    assert protocol.media[1] == protocol.media[2] != protocol.media[0]
    assert protocol.subjects.tolist() == [6, 5, 5, 6, 8]
    assert protocol.detection_scores is None
    assert protocol.notes == ()


def test_nist_of_ijbb_with_its_first_column_names(nist: Path) -> None:
    for file in nist.glob("protocols/*"):
        name = file.name.replace("ijbc", "ijbb").replace("G1", "S1").replace("G2", "S2")
        text = file.read_text().replace("FILENAME", "FILE").replace("FRAME_NUM", "FRAME")
        write_lines(nist / "protocol" / name, text.splitlines())
    assert open_ijb(nist / "protocol").names[0] == "img/1.jpg"


def test_later_release_without_sightings(tmp_path: Path) -> None:
    lines = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT", "1,5,img/1.jpg,1,2,3,4",
             "1,5,frames/2.png,1,2,3,4"]
    write_lines(tmp_path / "test1/enroll_templates.csv", lines)
    write_lines(tmp_path / "test1/verif_templates.csv", [lines[0], "2,5,img/3.jpg,1,2,3,4"])
    write_lines(tmp_path / "test1/match.csv", ["ENROLL_TEMPLATE_ID,VERIF_TEMPLATE_ID", "1,2"])
    protocol = open_ijb(tmp_path / "test1")
    assert len(set(protocol.media.tolist())) == 3
    assert protocol.pairs is not None and protocol.pairs.same.tolist() == [True]
    assert not protocol.galleries
    assert "3 of 3 images have no SIGHTING_ID" in protocol.notes[0]


def test_later_release_of_1_to_1_needs_its_matches(tmp_path: Path) -> None:
    write_lines(tmp_path / "enroll_templates.csv", GALLERY_1)
    write_lines(tmp_path / "verif_templates.csv", PROBES)
    with pytest.raises(DataError, match=r"lacks match\.csv"):
        open_ijb(tmp_path)


def test_later_release_of_1_to_n(tmp_path: Path) -> None:
    write_lines(tmp_path / "gallery_G1.csv", GALLERY_1)
    write_lines(tmp_path / "gallery_G2.csv", GALLERY_2)
    write_lines(tmp_path / "probes.csv", PROBES)
    protocol = open_ijb(tmp_path)
    assert protocol.pairs is None
    assert len(protocol.probes) == 3
    assert "1:1 is not given" in protocol.notes[0]


def test_a_missing_column_is_named(nist: Path) -> None:
    write_lines(nist / "protocols/ijbc_1N_gallery_G2.csv", ["TEMPLATE_ID,FILENAME", "7,img/4.jpg"])
    with pytest.raises(DataError, match="line 1: the header lacks SUBJECT_ID"):
        open_ijb(nist)


def test_a_template_in_two_files_is_refused(nist: Path) -> None:
    with (nist / "protocols/ijbc_1N_gallery_G2.csv").open("a") as handle:
        handle.write("10,5,img/9.jpg,900,1\n")
    with pytest.raises(DataError, match="template 10 is in several of"):
        open_ijb(nist)
