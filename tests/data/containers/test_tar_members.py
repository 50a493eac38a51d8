"""Members are those that Python's tarfile lists; hostile headers end in one sentence, quickly."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import pytest

from facekd.data.containers.tar_members import TarMember, read_members
from facekd.errors import DataError

END = bytes(2 * tarfile.BLOCKSIZE)


def read(path: Path) -> list[TarMember]:
    with path.open("rb") as file:
        return list(read_members(file, path))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.type = kind
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def pax(record: bytes, name: str = "a.jpg", size: int = 0, kind: bytes = tarfile.XHDTYPE) -> bytes:
    length = len(record) + 2
    length += len(str(length + len(str(length))))
    content = b"%d %s\n" % (length, record)
    return header("pax", len(content), kind) + padded(content) + header(name, size) + padded(bytes(max(size, 0)))


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(data + END)
    return path


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_of_pythons_tarfile(tmp_path: Path, form: int) -> None:
    names = ["a.jpg", "folder/b.cls", "é/ü.jpg", "\udcff.jpg", f"{'f' * 90}/{'n' * 90}.jpg"]
    if form != tarfile.USTAR_FORMAT:
        names.append("long/" * 100 + "x" * 300)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form, errors="surrogateescape") as tar:
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 300 * number
            member.mtime = 0.5 + number  # pax stores fractions in a record
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo("other")
            member.type = kind
            member.linkname = "a.jpg" * (40 if form != tarfile.USTAR_FORMAT else 1)
            tar.addfile(member)
    with tarfile.open(path, errors="surrogateescape") as tar:
        expected = [(m.name, m.offset, m.offset_data, m.size, m.isfile()) for m in tar]
    assert [tuple(member) for member in read(path)] == expected


def test_one_member_is_read_from_its_first_header(tmp_path: Path) -> None:
    path = write(tmp_path, pax(b"path=first.jpg") + pax(b"path=second.jpg"))
    second = read(path)[1]
    with path.open("rb") as file:
        assert next(read_members(file, path, second.offset)) == second
    assert second.name == "second.jpg"


def test_a_size_of_pax_replaces_the_one_in_the_header(tmp_path: Path) -> None:
    content = pax(b"size=700", size=0) + bytes(1024) + header("b.jpg", 0)
    assert [(m.name, m.size) for m in read(write(tmp_path, content))] == [("a.jpg", 700), ("b.jpg", 0)]


def sparse_header() -> bytes:
    """A GNU sparse member that claims 16 TB."""
    block = bytearray(header("a.jpg", 512, tarfile.GNUTYPE_SPARSE))
    block[386:410] = b"%011o\0" % 0 + b"%011o\0" % 512
    block[483:495] = b"\x80" + (1 << 44).to_bytes(11, "big")
    block[148:156] = b"%06o\0 " % (256 + sum(block[:148]) + sum(block[156:512]))
    return bytes(block) + bytes(512)


@pytest.mark.parametrize("data", [
    pytest.param(sparse_header(), id="gnu"), pytest.param(pax(b"GNU.sparse.size=99999999999999"), id="pax 0.0"),
    pytest.param(pax(b"GNU.sparse.map=0,1"), id="pax 0.1"), pytest.param(pax(b"GNU.sparse.major=1"), id="pax 1.0"),
])
def test_sparse_members_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a tar file \(it holds a sparse member\)"):
        read(write(tmp_path, data))


@pytest.mark.parametrize("data", [
    pytest.param(header("a.jpg", 1 << 40), id="member"), pytest.param(header("a.jpg", -512), id="negative"),
    pytest.param(header("a", 1 << 40, tarfile.GNUTYPE_LONGNAME), id="long name"),
    pytest.param(header("a", -512, tarfile.XHDTYPE), id="negative pax"), pytest.param(pax(b"size=-512"), id="pax size"),
    pytest.param(pax(b"size=" + b"9" * 5000), id="digits"), pytest.param(pax(b"size=99999"), id="pax size too large"),
    pytest.param(header("p", 20, tarfile.XHDTYPE) + padded(b"0 path=x\n" * 2), id="record of length 0"),
    pytest.param(header("p", 20, tarfile.XHDTYPE) + padded(b"99 path=x\n"), id="record too long"),
])
def test_a_size_that_the_file_cannot_hold_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.tar is damaged or cut short at byte"):
        read(write(tmp_path, data))


def test_a_path_for_all_members_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all of its members one path or size"):
        read(write(tmp_path, pax(b"path=x", kind=tarfile.XGLTYPE)))
    assert [m.name for m in read(write(tmp_path, pax(b"comment=x", kind=tarfile.XGLTYPE)))] == ["a.jpg"]


def test_a_header_of_many_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is longer than 1,048,576 bytes"):
        read(write(tmp_path, header("a", 2 << 20, tarfile.XHDTYPE) + bytes(2 << 20)))


def test_a_chain_of_long_names_takes_no_recursion(tmp_path: Path) -> None:
    chain = (header("././@LongLink", 2, tarfile.GNUTYPE_LONGNAME) + padded(b"b\0")) * 3000
    path = write(tmp_path, chain + header("a", 0))
    assert [(member.name, member.offset) for member in read(path)] == [("b", 0)]


def test_digits_without_an_end_take_no_time(tmp_path: Path) -> None:
    """Regular expressions over them took quadratic time in Python's tarfile."""
    data = header("p", 1 << 20, tarfile.XHDTYPE) + b"1" * (1 << 20)
    begin = time.process_time()
    with pytest.raises(DataError, match="damaged"):
        read(write(tmp_path, data))
    assert time.process_time() - begin < 1
