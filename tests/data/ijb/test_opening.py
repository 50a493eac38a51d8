"""The real sets may not be passed on: the files read here are made up, in their formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facekd.data.ijb.opening import open_ijb
from facekd.data.ijb.protocol import UNKNOWN
from facekd.errors import DataError

IMAGES = ["1.jpg 10 100", "2.jpg 10 101", "3.jpg 10 101", "4.jpg 7 100", "5.jpg 20 300", "6.jpg 21 400", "7.jpg 22 500"]
LANDMARKS = "46.060 62.026 87.785 60.323 68.851 77.656 52.162 99.875 86.450 98.648"
PAIRS = ["10 20 1", "10 21 0", "7 22 0", "7 21 1"]
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT,FRAME_NUM,FACIAL_HAIR"
GALLERY_1 = [HEADER, "10,5,img/1.jpg,900,1,2,3,4,,", "10,5,frames/2.png,901,1,2,3,4,17,0", "10,5,frames/3.png,901"]
GALLERY_2 = [HEADER, "7,6,img/4.jpg,900,1,2,3,4,,"]
PROBES = [HEADER, "20,5,img/5.jpg,902,1,2,3,4,,", "21,6,img/6.jpg,903,1,2,3,4,,", "22,8,img/6.jpg,904,1,2,3,4,,"]
MATCHES = ["10,20", "10,21", "7,22", "7,21"]


def write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def insightface(tmp_path: Path) -> Path:
    write(tmp_path / "meta/ijbc_face_tid_mid.txt", IMAGES)
    scores = [f"{line.split()[0]} {LANDMARKS} 0.{9 - row}" for row, line in enumerate(IMAGES)]
    write(tmp_path / "meta/ijbc_name_5pts_score.txt", scores)
    write(tmp_path / "meta/ijbc_template_pair_label.txt", PAIRS)
    write(tmp_path / "meta/ijbc_1N_gallery_G1.csv", GALLERY_1)
    write(tmp_path / "meta/ijbc_1N_gallery_G2.csv", GALLERY_2)
    write(tmp_path / "meta/ijbc_1N_probe_mixed.csv", PROBES)
    return tmp_path


@pytest.fixture
def nist(tmp_path: Path) -> Path:
    write(tmp_path / "protocols/ijbc_1N_gallery_G1.csv", GALLERY_1)
    write(tmp_path / "protocols/ijbc_1N_gallery_G2.csv", GALLERY_2)
    write(tmp_path / "protocols/ijbc_1N_probe_mixed.csv", PROBES)
    write(tmp_path / "protocols/ijbc_11_G1_G2_matches.csv", MATCHES)
    return tmp_path


def test_insightface_templates(insightface: Path) -> None:
    protocol = open_ijb(insightface)
    assert list(protocol.names) == [f"{number}.jpg" for number in range(1, 8)]
    assert protocol.ids.tolist() == [7, 10, 20, 21, 22]
    assert protocol.ids[protocol.template].tolist() == [10, 10, 10, 7, 20, 21, 22]
    assert protocol.media.tolist() == [100, 101, 101, 100, 300, 400, 500]
    assert protocol.scores is not None
    np.testing.assert_allclose(protocol.scores, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], rtol=1e-6)


def test_insightface_pairs(insightface: Path) -> None:
    protocol = open_ijb(insightface / "meta")
    pairs = protocol.pairs
    assert pairs is not None
    assert protocol.ids[pairs.first].tolist() == [10, 10, 7, 7]
    assert protocol.ids[pairs.second].tolist() == [20, 21, 22, 21]
    assert pairs.same.tolist() == [True, False, False, True]


def test_insightface_search_and_subjects(insightface: Path) -> None:
    protocol = open_ijb(insightface)
    assert {name: protocol.ids[index].tolist() for name, index in protocol.galleries.items()} == {"G1": [10], "G2": [7]}
    assert protocol.ids[protocol.probes].tolist() == [20, 21, 22]
    assert protocol.subjects.tolist() == [6, 5, 5, 6, 8]
    assert protocol.notes == ()


def test_insightface_with_1_to_1_alone_says_so(insightface: Path) -> None:
    for file in insightface.glob("meta/*.csv"):
        file.unlink()
    (insightface / "meta/ijbc_name_5pts_score.txt").unlink()
    protocol = open_ijb(insightface)
    assert protocol.scores is None
    assert not protocol.galleries
    assert (protocol.subjects == UNKNOWN).all()
    assert "1:N is not given" in protocol.notes[0]


def test_ijbb_has_galleries_of_other_names(insightface: Path) -> None:
    for file in insightface.glob("meta/*"):
        file.rename(file.with_name(file.name.replace("ijbc", "ijbb").replace("_G", "_S")))
    assert list(open_ijb(insightface).galleries) == ["S1", "S2"]


def test_nist_templates(nist: Path) -> None:
    protocol = open_ijb(nist)
    assert protocol.names[:3] == ["img/1.jpg", "frames/2.png", "frames/3.png"]
    assert protocol.ids[protocol.template].tolist() == [10, 10, 10, 7, 20, 21, 22]
    assert protocol.media[1] == protocol.media[2] != protocol.media[0]
    assert protocol.subjects.tolist() == [6, 5, 5, 6, 8]
    assert protocol.scores is None
    assert protocol.notes == ()


def test_nist_and_insightface_say_the_same(insightface: Path) -> None:
    one = open_ijb(insightface)
    write(insightface / "ijbc_11_G1_G2_matches.csv", MATCHES)
    for file in insightface.glob("meta/*.csv"):
        file.rename(insightface / file.name)
    other = open_ijb(insightface)
    assert one.pairs is not None and other.pairs is not None
    assert other.pairs.same.tolist() == one.pairs.same.tolist()
    assert other.pairs.second.tolist() == one.pairs.second.tolist()
    assert other.probes.tolist() == one.probes.tolist()
    assert {name: index.tolist() for name, index in other.galleries.items()} == {"G1": [1], "G2": [0]}


def test_nist_of_ijbb_with_its_first_column_names(nist: Path) -> None:
    for file in nist.glob("protocols/*"):
        name = file.name.replace("ijbc", "ijbb").replace("G1", "S1").replace("G2", "S2")
        text = file.read_text().replace("FILENAME", "FILE").replace("FRAME_NUM", "FRAME")
        write(nist / "protocol" / name, text.splitlines())
    assert open_ijb(nist / "protocol").names[0] == "img/1.jpg"


def test_later_release_without_sightings(tmp_path: Path) -> None:
    lines = ["TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT", "1,5,img/1.jpg,1,2,3,4",
             "1,5,frames/2.png,1,2,3,4"]
    write(tmp_path / "test1/enroll_templates.csv", lines)
    write(tmp_path / "test1/verif_templates.csv", [lines[0], "2,5,img/3.jpg,1,2,3,4"])
    write(tmp_path / "test1/match.csv", ["ENROLL_TEMPLATE_ID,VERIF_TEMPLATE_ID", "1,2"])
    protocol = open_ijb(tmp_path / "test1")
    assert len(set(protocol.media.tolist())) == 3
    assert protocol.pairs is not None and protocol.pairs.same.tolist() == [True]
    assert not protocol.galleries
    assert "3 of 3 images have no SIGHTING_ID" in protocol.notes[0]


def test_later_release_of_1_to_1_needs_its_matches(tmp_path: Path) -> None:
    write(tmp_path / "enroll_templates.csv", GALLERY_1)
    write(tmp_path / "verif_templates.csv", PROBES)
    with pytest.raises(DataError, match=r"lacks match\.csv"):
        open_ijb(tmp_path)


def test_later_release_of_1_to_n(tmp_path: Path) -> None:
    write(tmp_path / "gallery_G1.csv", GALLERY_1)
    write(tmp_path / "gallery_G2.csv", GALLERY_2)
    write(tmp_path / "probes.csv", PROBES)
    protocol = open_ijb(tmp_path)
    assert protocol.pairs is None
    assert len(protocol.probes) == 3
    assert "1:1 is not given" in protocol.notes[0]


@pytest.mark.parametrize(("file", "line", "message"), [
    ("ijbc_face_tid_mid.txt", "8.jpg 23", "line 8: 'name template media'"),
    ("ijbc_face_tid_mid.txt", "8.jpg x 3", "line 8"),
    ("ijbc_name_5pts_score.txt", f"8.jpg {LANDMARKS} 0.5", "line 8: 8.jpg, where ijbc_face_tid_mid.txt has no further"),
    ("ijbc_name_5pts_score.txt", "8.jpg 0.5", "line 8: 'name x1 y1"),
    ("ijbc_name_5pts_score.txt", f"7.jpg {LANDMARKS} nan", "line 8"),
    ("ijbc_template_pair_label.txt", "10 20", "line 5: 3 whole numbers"),
    ("ijbc_template_pair_label.txt", "10 x 1", "line 5"),
    ("ijbc_template_pair_label.txt", "10 99999999999 1", "line 5"),
    ("ijbc_template_pair_label.txt", "10 20 2", "pair 5 .* label other than 0 and 1"),
    ("ijbc_template_pair_label.txt", "10 77 1", "names 1 templates that .* does not hold: 77"),
    ("ijbc_1N_gallery_G1.csv", "10,5", "line 5: 4 columns"),
    ("ijbc_1N_gallery_G1.csv", "10,nan,img/1.jpg,900,1", "line 5"),
    ("ijbc_1N_gallery_G1.csv", "55,5,img/1.jpg,900,1", "names 1 templates that .* does not hold: 55"),
    ("ijbc_1N_probe_mixed.csv", "20,6,img/1.jpg,900,1", "1 templates to several subjects: 20"),
])
def test_wrong_lines_are_named(insightface: Path, file: str, line: str, message: str) -> None:
    with (insightface / "meta" / file).open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        open_ijb(insightface)


def test_a_wrong_first_pair_is_no_header(insightface: Path) -> None:
    write(insightface / "meta/ijbc_template_pair_label.txt", ["10 x 1", *PAIRS])
    with pytest.raises(DataError, match="line 1"):
        open_ijb(insightface)


def test_many_wrong_lines_are_counted(insightface: Path) -> None:
    write(insightface / "meta/ijbc_template_pair_label.txt", [*PAIRS, *["a b c"] * 7])
    with pytest.raises(DataError, match=r"7 wrong lines: line 5.*line 9.*\.\.\."):
        open_ijb(insightface)


def test_blank_lines_and_further_columns_do_not_matter(insightface: Path) -> None:
    write(insightface / "meta/ijbc_template_pair_label.txt", [f"{line} more" for line in PAIRS] + [""])
    write(insightface / "meta/ijbc_face_tid_mid.txt", [f"{line} more" for line in IMAGES] + [""])
    pairs = open_ijb(insightface).pairs
    assert pairs is not None and len(pairs.same) == 4


@pytest.mark.parametrize("file", ["ijbc_face_tid_mid.txt", "ijbc_template_pair_label.txt", "ijbc_1N_gallery_G2.csv",
                                  "ijbc_name_5pts_score.txt"])
def test_empty_files_are_refused(insightface: Path, file: str) -> None:
    (insightface / "meta" / file).write_text("")
    with pytest.raises(DataError, match=file):
        open_ijb(insightface)


def test_a_gallery_without_its_probes_is_refused(insightface: Path) -> None:
    (insightface / "meta/ijbc_1N_probe_mixed.csv").unlink()
    with pytest.raises(DataError, match=r"lacks ijbc_1N_probe_mixed\.csv"):
        open_ijb(insightface)


def test_a_missing_column_is_named(nist: Path) -> None:
    write(nist / "protocols/ijbc_1N_gallery_G2.csv", ["TEMPLATE_ID,FILENAME", "7,img/4.jpg"])
    with pytest.raises(DataError, match="line 1: the header lacks SUBJECT_ID"):
        open_ijb(nist)


def test_a_template_in_two_files_is_refused(nist: Path) -> None:
    with (nist / "protocols/ijbc_1N_gallery_G2.csv").open("a") as handle:
        handle.write("10,5,img/9.jpg,900,1\n")
    with pytest.raises(DataError, match="template 10 is in several of"):
        open_ijb(nist)


def test_two_protocols_in_one_folder_are_refused(insightface: Path) -> None:
    write(insightface / "meta/ijbb_face_tid_mid.txt", IMAGES)
    with pytest.raises(DataError, match="several protocols"):
        open_ijb(insightface)


def test_a_folder_of_something_else_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ijbb_face_tid_mid\.txt.*probes\.csv"):
        open_ijb(tmp_path)
