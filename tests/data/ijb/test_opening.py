"""The real protocols may not be redistributed: the files read here are invented, in their formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.ijb.opening import open_ijb
from facekd.errors import DataError
from tests.data.ijb.protocol_files import IMAGES, MATCHES, write_lines


def test_nist_and_insightface_give_the_same_protocol(insightface: Path) -> None:
    one = open_ijb(insightface)
    write_lines(insightface / "ijbc_11_G1_G2_matches.csv", MATCHES)
    for file in insightface.glob("meta/*.csv"):
        file.rename(insightface / file.name)
    other = open_ijb(insightface)
    assert one.pairs is not None and other.pairs is not None
    assert other.pairs.same.tolist() == one.pairs.same.tolist()
    assert other.pairs.second.tolist() == one.pairs.second.tolist()
    assert other.probes.tolist() == one.probes.tolist()
    assert {name: index.tolist() for name, index in other.galleries.items()} == {"G1": [1], "G2": [0]}


def test_two_protocols_in_one_folder_are_refused(insightface: Path) -> None:
    write_lines(insightface / "meta/ijbb_face_tid_mid.txt", IMAGES)
    with pytest.raises(DataError, match="several protocols"):
        open_ijb(insightface)


def test_a_folder_of_something_else_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ijbb_face_tid_mid\.txt.*probes\.csv"):
        open_ijb(tmp_path)
