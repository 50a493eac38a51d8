"""LMDB face sets, written with the lmdb package in the common layouts."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.errors import DataError, SetupError

lmdb = pytest.importorskip("lmdb")


@pytest.fixture(scope="session")
def folder_set(small_faces: Path) -> FaceSet:
    return open_faces(small_faces)


def write_lmdb(path: Path, values: dict[bytes, bytes], subdir: bool = True) -> Path:
    environment = lmdb.open(str(path), subdir=subdir, map_size=1 << 24, lock=False)
    with environment.begin(write=True) as writing:
        for key, value in values.items():
            writing.put(key, value)
    environment.close()
    return path


def folder2lmdb(path: Path, entries: list[Any], protocol: int = 4) -> Path:
    """Write pairs (image, label) as the folder2lmdb script of Efficient-PyTorch and its copies do."""
    keys = [f"{index}".encode("ascii") for index in range(len(entries))]
    values = {key: pickle.dumps(entry, protocol) for key, entry in zip(keys, entries, strict=True)}
    return write_lmdb(path, {**values, b"__keys__": pickle.dumps(keys, protocol), b"__len__": pickle.dumps(len(keys))})


def write_by_path(path: Path, faces: FaceSet, subdir: bool = True) -> Path:
    return write_lmdb(path, {faces.image_name(i).encode(): faces.read(i) for i in reversed(range(len(faces)))}, subdir)


@pytest.mark.parametrize(("name", "subdir"), [("set", True), ("set.lmdb", False), ("set.lmdb", True)])
def test_keys_that_are_paths_give_the_set_of_the_folder(
    tmp_path: Path, folder_set: FaceSet, name: str, subdir: bool
) -> None:
    faces = open_faces(write_by_path(tmp_path / name, folder_set, subdir))
    assert faces.fingerprint() == folder_set.fingerprint()
    assert (faces.class_names, faces.labels.tolist()) == (folder_set.class_names, folder_set.labels.tolist())
    assert [faces.image_name(i) for i in range(48)] == [folder_set.image_name(i) for i in range(48)]


def test_people_and_images_are_in_the_order_of_folders_not_of_keys(tmp_path: Path) -> None:
    faces = open_faces(write_lmdb(tmp_path / "s", {b"a b/1": b"x", b"a/2": b"y", b"a/1/c": b"z"}))
    assert (faces.class_names, [faces.image_name(i) for i in range(3)]) == (["a", "a b"], ["a/1/c", "a/2", "a b/1"])


WRAPPED = {
    "plain": lambda image, label: (image, label),
    "as a DataLoader gives it": lambda image, label: ([image], np.array([label])),
    "tuple": lambda image, label: [(image,), [label]],
    "numpy scalar": lambda image, label: (image, np.int64(label)),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", WRAPPED)
def test_pickled_pairs_give_the_images_and_labels(
    tmp_path: Path, folder_set: FaceSet, form: str, protocol: int
) -> None:
    entries = [WRAPPED[form](folder_set.read(i), int(folder_set.labels[i])) for i in range(48)]
    faces = open_faces(folder2lmdb(tmp_path / "s", entries, protocol))
    assert faces.fingerprint() == folder_set.fingerprint()
    assert (faces.class_names, faces.labels.dtype) == ([str(i) for i in range(8)], np.int64)
    np.testing.assert_array_equal(faces.pixels(17), folder_set.pixels(17))
    assert faces.location(17).endswith("/s key 17")


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"key 1 wants .*mkdir"):
        open_faces(folder2lmdb(tmp_path / "s", [(b"x", 0), (Evil(), 1)]))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("entry", [b"x", (b"x",), ("x", 0), (b"x", "0"), (b"x", 0.5), (b"x", True), ([b"x", b"y"], 0)])
def test_a_value_that_is_no_image_with_a_label_is_named(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(DataError, match=r"s key 1 is no pickled pair of an encoded image and a label"):
        open_faces(folder2lmdb(tmp_path / "s", [(b"x", 0), entry]))


def test_a_label_below_zero_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s key 1 has the label -1, which is not an identity number.*1 of 2 images"):
        open_faces(folder2lmdb(tmp_path / "s", [(b"x", 0), (b"x", -1)]))


def test_values_of_other_writers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"key __keys__ is no pickle.*pyarrow\.serialize or msgpack"):
        open_faces(write_lmdb(tmp_path / "s", {b"__keys__": b"\x93\xc4\x010\xc4\x011", b"0": b"x"}))


def test_a_listed_key_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"key 1 is missing, though it is listed"):
        values = {b"0": pickle.dumps((b"x", 0)), b"__keys__": pickle.dumps([b"0", b"1"])}
        open_faces(write_lmdb(tmp_path / "s", values))


@pytest.mark.parametrize("listed", [{}, [], ["0"], 3])
def test_a_list_of_keys_that_is_none_is_said(tmp_path: Path, listed: Any) -> None:
    with pytest.raises(DataError, match="__keys__ is no list of keys"):
        open_faces(write_lmdb(tmp_path / "s", {b"__keys__": pickle.dumps(listed)}))


@pytest.mark.parametrize(("values", "has"), [({b"image-0001": b"x"}, "the key b'image-0001'"), ({}, "no key")])
def test_another_layout_is_refused(tmp_path: Path, values: dict[bytes, bytes], has: str) -> None:
    with pytest.raises(DataError, match=f"s has {has}: neither the layout of folder2lmdb"):
        open_faces(write_lmdb(tmp_path / "s", values))


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, folder_set: FaceSet, share: float) -> None:
    file = write_by_path(tmp_path / "s", folder_set) / "data.mdb"
    os.truncate(file, int(file.stat().st_size * share))
    with pytest.raises(DataError, match=r"data\.mdb is cut short: \d+ bytes, \d+ are needed"):
        open_faces(tmp_path / "s")


@pytest.mark.parametrize("content", [b"", b"no environment" * 1000])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.lmdb").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.lmdb cannot be read as LMDB"):
        open_faces(tmp_path / "s.lmdb")
    assert os.listdir(tmp_path) == ["s.lmdb"]


def test_a_missing_package_is_named(tmp_path: Path, folder_set: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_by_path(tmp_path / "s", folder_set)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(SetupError, match=r"pip install 'facekd\[lmdb\]'"):
        open_faces(path)


def test_a_path_that_is_not_utf8(tmp_path: Path, folder_set: FaceSet) -> None:
    written = write_by_path(tmp_path / "set", folder_set)
    moved = tmp_path / os.fsdecode(b"\xff\xfe")
    written.rename(moved)
    assert open_faces(moved).fingerprint() == folder_set.fingerprint()
