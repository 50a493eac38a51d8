"""WebDataset shards, written with Python's tarfile and with the webdataset package."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.errors import DataError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.fixture(scope="session")
def folder_set(small_faces: Path) -> FaceSet:
    return open_faces(small_faces)


def write_tar(path: Path, members: list[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def samples(faces: FaceSet, index: range, prefix: str = "") -> list[tuple[str, bytes]]:
    """Return tar members; even samples have a .cls, odd samples a .json, and every third pair is in reverse order."""
    members = []
    for i in index:
        label = int(faces.labels[i])
        extension, content = ".cls", b"%d" % label
        if i % 2:
            extension, content = ".json", json.dumps({"label": label, "x": [1]}).encode()
        pair = [(f"{prefix}{i:06d}.jpg", faces.read(i)), (f"{prefix}{i:06d}{extension}", content)]
        members += pair if i % 3 else pair[::-1]
    return members


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("prefix", ["", "part/", f"{'long' * 60}/"], ids=["flat", "folder", "long"])
def test_one_shard_holds_what_was_written(tmp_path: Path, folder_set: FaceSet, form: str, prefix: str) -> None:
    if form == "ustar" and len(prefix) > 100:
        pytest.skip("the format does not support such names")
    faces = open_faces(write_tar(tmp_path / "a.tar", samples(folder_set, range(48), prefix), FORMATS[form]))
    assert faces.fingerprint() == folder_set.fingerprint()
    assert (faces.labels.tolist(), faces.class_names) == (folder_set.labels.tolist(), [str(i) for i in range(8)])
    np.testing.assert_array_equal(faces.pixels(31), folder_set.pixels(31))
    assert faces.location(31).endswith(f"/a.tar member {prefix}000031.jpg")


def test_the_shards_of_a_folder_follow_each_other(tmp_path: Path, folder_set: FaceSet) -> None:
    for first in (0, 20, 40):
        write_tar(tmp_path / f"set-{first:06d}.tar", samples(folder_set, range(first, min(first + 20, 48))))
    faces = open_faces(tmp_path)
    assert faces.fingerprint() == folder_set.fingerprint()
    for index in (47, 0, 19, 20, 40):
        assert faces.read(index) == folder_set.read(index)
    assert faces.location(20).endswith("set-000020.tar member 000020.jpg")


def test_shards_of_the_webdataset_package(tmp_path: Path, folder_set: FaceSet) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "set-%06d.tar"), maxcount=20, verbose=0) as sink:
        for i in range(48):
            label = int(folder_set.labels[i])
            sink.write({"__key__": f"{i:06d}", "jpg": folder_set.read(i), "cls": label, "json": {"a": 1}})
    faces = open_faces(tmp_path)
    assert len(list(tmp_path.glob("*.tar"))) == 3
    assert faces.fingerprint() == folder_set.fingerprint()


def test_folders_and_links_in_a_shard_are_no_samples(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for kind, name in ((tarfile.DIRTYPE, "a"), (tarfile.SYMTYPE, "b.jpg")):
            member = tarfile.TarInfo(name)
            member.type = kind
            tar.addfile(member)
        for name, data in (("a/1.jpg", b"x"), ("a/1.cls", b"3\n")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    faces = open_faces(tmp_path / "a.tar")
    assert (faces.labels.tolist(), faces.read(0)) == ([3], b"x")


@pytest.mark.parametrize(("members", "message"), [
    ([("1.jpg", b"x")], r"'1' has no label \(1\.cls or 1\.json\)"),
    ([("1.cls", b"0")], r"holds 0 images under the key '1' \(members: 1\.cls\)"),
    ([("1.jpg", b"x"), ("1.png", b"x"), ("1.cls", b"0")], r"holds 2 images under the key '1'"),
    ([("1.jpg", b"x"), ("1.jpg", b"y"), ("1.cls", b"0")], r"1 images under .*, 1\.jpg, 1\.cls\).*its keys each once"),
    ([("1.jpg", b"x"), ("2.jpg", b"x"), ("1.cls", b"0"), ("2.cls", b"0")], "'1' has no label"),
    ([("1.jpg", b"x"), ("1.cls", b"one")], r"1\.cls holds b'one', a number is needed"),
    ([("1.jpg", b"x"), ("1.cls", b"-1")], r"1\.cls holds b'-1', a number is needed"),
    ([("1.jpg", b"x"), ("1.json", b'{"label": "7"}')], r'1\.json holds .*, an object \{"label": number\} is needed'),
    ([("1.jpg", b"x"), ("1.json", b'{"label": true}')], r"1\.json holds"),
    ([("1.jpg", b"x"), ("1.json", b"[" * 100000)], r"1\.json holds"),
    ([("1.jpg", b"x"), ("1.cls", b"99999999")], r"1\.jpg has the label 99999999, which is not an identity number"),
    ([], "holds no image"),
])
def test_a_sample_that_cannot_be_used_is_named(tmp_path: Path, members: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_faces(write_tar(tmp_path / "a.tar", members))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8])
def test_a_shard_that_is_cut_short_is_refused(tmp_path: Path, folder_set: FaceSet, share: float) -> None:
    file = write_tar(tmp_path / "a.tar", samples(folder_set, range(48)))
    os.truncate(file, int(file.stat().st_size * share))
    with pytest.raises(DataError, match=r"a\.tar .*(cut short|damaged)"):
        open_faces(file)


def test_a_shard_that_is_cut_between_two_members_is_refused(tmp_path: Path, folder_set: FaceSet) -> None:
    file = write_tar(tmp_path / "a.tar", samples(folder_set, range(48)))
    with tarfile.open(file) as tar:
        os.truncate(file, tar.getmembers()[40].offset)
    message = r"a\.tar is damaged or cut short at byte \d+: there is neither a member nor an end mark"
    with pytest.raises(DataError, match=message):
        open_faces(file)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path, folder_set: FaceSet) -> None:
    file = write_tar(tmp_path / "a.tar", samples(folder_set, range(48)))
    with tarfile.open(file) as tar:
        offset = tar.getmembers()[40].offset
    with file.open("r+b") as handle:
        handle.seek(offset)
        handle.write(b"\xff" * 100)
    with pytest.raises(DataError, match=f"damaged or cut short at byte {offset}"):
        open_faces(file)


def test_a_compressed_shard_is_refused(tmp_path: Path, folder_set: FaceSet) -> None:
    plain = write_tar(tmp_path / "plain", samples(folder_set, range(4)))
    (tmp_path / "a.tar").write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a tar file .*compressed.*gunzip"):
        open_faces(tmp_path / "a.tar")


def test_a_shard_that_shrinks_or_goes_is_named(tmp_path: Path, folder_set: FaceSet) -> None:
    file = write_tar(tmp_path / "a.tar", samples(folder_set, range(8)))
    faces = open_faces(file)
    os.truncate(file, 2000)
    with pytest.raises(DataError, match=r"a\.tar has become shorter"):
        faces.read(7)
    file.unlink()
    with pytest.raises(DataError, match=r"a\.tar cannot be read"):
        faces.read(7)
