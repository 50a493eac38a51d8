from __future__ import annotations

from pathlib import Path

import pytest

import facekd
from facekd.data.opening import open_faces
from facekd.errors import DataError, SetupError

FILES = ("train.rec", "train.idx", "property", "names.txt")


def test_packing_the_folder_gives_the_committed_record(fixtures: Path, tmp_path: Path) -> None:
    facekd.pack(fixtures / "folder", tmp_path / "out")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (fixtures / "record" / name).read_bytes(), name


def test_a_record_packed_again_is_the_same_record(fixtures: Path, tmp_path: Path) -> None:
    summary = facekd.pack(fixtures / "record", tmp_path / "out")
    assert (summary.images, summary.identities, summary.size, summary.dropped) == (32, 8, 112, 0)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (fixtures / "record" / name).read_bytes(), name


def test_an_existing_set_is_not_overwritten(fixtures: Path, tmp_path: Path) -> None:
    facekd.pack(fixtures / "folder", tmp_path / "out")
    with pytest.raises(DataError, match=r"already holds .*train\.rec"):
        facekd.pack(fixtures / "folder", tmp_path / "out")


@pytest.mark.parametrize("name", ["n" * 300, "/proc/nothing"])
def test_an_output_that_cannot_be_made_is_one_sentence(fixtures: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="cannot be written"):
        facekd.pack(fixtures / "folder", tmp_path / name)


def test_a_source_of_a_name_that_no_file_system_holds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        facekd.pack("n" * 300, tmp_path)


def test_a_packed_set_without_labels_has_none(fixtures: Path, tmp_path: Path) -> None:
    summary = facekd.pack(fixtures / "folder", tmp_path / "out", labels=False)
    assert (summary.images, summary.identities, summary.dropped) == (32, 0, 0)
    packed = open_faces(tmp_path / "out")
    assert not packed.is_labeled
    assert packed.fingerprint() == open_faces(fixtures / "folder", labels=False).fingerprint()
