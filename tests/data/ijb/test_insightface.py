"""The real protocols may not be redistributed: the files read here are invented, in their formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.ijb.opening import open_ijb
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT
from facekd.errors import DataError
from tests.data.ijb.protocol_files import IMAGES, LANDMARKS, PAIRS, write_lines


def test_insightface_templates(insightface: Path) -> None:
    protocol = open_ijb(insightface)
    assert list(protocol.names) == [f"{number}.jpg" for number in range(1, 8)]
    assert protocol.ids.tolist() == [7, 10, 20, 21, 22]
    assert protocol.ids[protocol.template_index].tolist() == [10, 10, 10, 7, 20, 21, 22]
    assert protocol.media.tolist() == [100, 101, 101, 100, 300, 400, 500]
    assert protocol.detection_scores is not None
    np.testing.assert_allclose(protocol.detection_scores, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], rtol=1e-6)


def test_insightface_pairs(insightface: Path) -> None:
    protocol = open_ijb(insightface / "meta")
    pairs = protocol.pairs
    assert pairs is not None
    assert protocol.ids[pairs.first].tolist() == [10, 10, 7, 7]
    assert protocol.ids[pairs.second].tolist() == [20, 21, 22, 21]
    assert pairs.same.tolist() == [True, False, False, True]


def test_insightface_galleries_probes_and_subjects(insightface: Path) -> None:
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
    assert protocol.detection_scores is None
    assert not protocol.galleries
    assert (protocol.subjects == UNKNOWN_SUBJECT).all()
    assert "1:N is not given" in protocol.notes[0]


def test_ijbb_has_galleries_of_other_names(insightface: Path) -> None:
    for file in insightface.glob("meta/*"):
        file.rename(file.with_name(file.name.replace("ijbc", "ijbb").replace("_G", "_S")))
    assert list(open_ijb(insightface).galleries) == ["S1", "S2"]


@pytest.mark.parametrize(("file", "line", "message"), [
    ("ijbc_face_tid_mid.txt", "8.jpg 23", "line 8: 'name template media'"),
    ("ijbc_face_tid_mid.txt", "8.jpg x 3", "line 8"),
    ("ijbc_name_5pts_score.txt", f"8.jpg {LANDMARKS} 0.5",
     "line 8: 8.jpg instead of no further line; .*with that of ijbc_face_tid_mid.txt"),
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
    write_lines(insightface / "meta/ijbc_template_pair_label.txt", ["10 x 1", *PAIRS])
    with pytest.raises(DataError, match="line 1"):
        open_ijb(insightface)


def test_many_wrong_lines_are_counted(insightface: Path) -> None:
    write_lines(insightface / "meta/ijbc_template_pair_label.txt", [*PAIRS, *["a b c"] * 7])
    with pytest.raises(DataError, match=r"7 problems: line 5.*line 9.* and 2 more"):
        open_ijb(insightface)


def test_blank_lines_and_further_columns_do_not_matter(insightface: Path) -> None:
    write_lines(insightface / "meta/ijbc_template_pair_label.txt", [f"{line} more" for line in PAIRS] + [""])
    write_lines(insightface / "meta/ijbc_face_tid_mid.txt", [f"{line} more" for line in IMAGES] + [""])
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
