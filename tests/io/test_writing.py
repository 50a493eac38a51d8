"""Every error of the operating system becomes one sentence with a remedy that fits."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from facekd.errors import DataError, SetupError
from facekd.io.writing import writing


@pytest.mark.parametrize("problem", [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
])
def test_a_full_disk_is_reported(tmp_path: Path, problem: Exception) -> None:
    with pytest.raises(SetupError, match=r"the disk is full: .*file could not be written.*free some space"), \
            writing(tmp_path / "file"):
        raise problem


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_is_one_short_sentence(tmp_path: Path, number: int) -> None:
    path = tmp_path / "file"
    with pytest.raises(SetupError) as caught, writing(path):
        raise OSError(number, os.strerror(number), str(path))
    assert str(caught.value).count("\n") == 0
    assert len(str(caught.value)) < 300 + len(str(path))
    assert str(path) in str(caught.value)
    assert ("free some space" in str(caught.value)) == (number in (errno.ENOSPC, errno.EDQUOT))


@pytest.mark.parametrize(("number", "remedy"), [
    (errno.EROFS, "the file system is read-only; choose another output"),
    (errno.EACCES, "permission is denied; choose another output or change the permissions"),
    (errno.EISDIR, "a folder of that name is in the way"),
    (errno.ENAMETOOLONG, "the name is too long; choose a shorter one"),
    (errno.EXDEV, r"Invalid cross-device link; choose another output"),
])
def test_the_remedy_fits(tmp_path: Path, number: int, remedy: str) -> None:
    with pytest.raises(SetupError, match=remedy), writing(tmp_path / "file"):
        raise OSError(number, os.strerror(number))


def test_the_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"/file/a/b cannot be written: \S*/file is in the way"), \
            writing(tmp_path / "file" / "a" / "b"):
        (tmp_path / "file" / "a").mkdir(parents=True)


def test_an_input_that_fails_is_named_instead(tmp_path: Path) -> None:
    source = tmp_path / "source" / "image.jpg"
    with pytest.raises(SetupError, match=r"image\.jpg cannot be used while \S*/out/file is written \(No such file"), \
            writing(tmp_path / "out" / "file"):
        source.read_bytes()


@pytest.mark.parametrize("problem", [DataError("message"), RuntimeError("other"), KeyboardInterrupt(),
                                     OSError("a library's own error")])
def test_other_exceptions_pass(tmp_path: Path, problem: BaseException) -> None:
    with pytest.raises(type(problem)) as caught, writing(tmp_path / "file"):
        raise problem
    assert caught.value is problem
