"""The errors of the operating system while something is written, as one sentence with a remedy that fits."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facekd.errors import FacekdError, SetupError
from facekd.text import path_text, shorten

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_OTHER_PLACE = "choose another output"
_REMEDIES = {
    errno.EROFS: "the file system is read-only; choose another output",
    errno.EACCES: "permission is denied; choose another output or change the permissions",
    errno.EPERM: "the system does not permit it; choose another output or change the permissions and attributes",
    errno.ENOTEMPTY: "a folder with files is in the way; choose another output or remove it",
    errno.EISDIR: "a folder of that name is in the way; choose another output or remove it",
    errno.ENOENT: "its folder does not exist or was removed meanwhile; choose another output or run it again",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "the file would be larger than the file system or 'ulimit -f' allows; choose another output",
    errno.EMFILE: "too many files are open; raise the limit with 'ulimit -n'",
    errno.ENFILE: "too many files are open on this machine; end other programs",
    errno.ELOOP: "its symbolic links form a loop; choose another output",
    errno.EBUSY: "it is in use, for example as a mount point; choose another output",
    errno.EIO: "the disk reports an error; check the disk or choose another output",
}


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn the operating system's errors into a `SetupError` with a remedy, while ``path`` is written.

    An error that names a file outside of the folder of ``path``, for example an input that was removed meanwhile, is
    reported for that file.

    Args:
        path: the file or folder that is written.

    Raises:
        SetupError: an `OSError` ended the block, or an error of a library that reports a full disk in its text.
    """
    try:
        yield
    except FacekdError:
        raise
    except OSError as error:
        if error.errno is None:  # raised by a library, not by the system
            raise
        raise SetupError(_describe(Path(path), error)) from error
    except Exception as error:
        # safetensors and torch report a full disk in the text only.
        if "No space left on device" not in str(error):
            raise
        raise SetupError(_describe_no_space(path)) from error


def _describe(path: Path, error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return _describe_no_space(path)
    file = _find_foreign_file(path, error)
    if file is not None:
        return f"{path_text(file)} cannot be used while {path_text(path)} is written ({_reason(error)}); " \
               "check that file and run the same command again"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        obstacle = next((parent for parent in (path, *path.parents) if os.path.isfile(parent)), path)
        return f"{path_text(path)} cannot be written: {path_text(obstacle)} is in the way; {_OTHER_PLACE} or remove it"
    remedy = _REMEDIES.get(error.errno or 0, f"{_reason(error)}; {_OTHER_PLACE}")
    return f"{path_text(path)} cannot be written: {remedy}"


def _describe_no_space(path: Path | str) -> str:
    return (f"the disk is full: {path_text(path)} could not be written. What was there before is untouched; "
            "free some space and run the same command again, it continues")


def _find_foreign_file(path: Path, error: OSError) -> str | None:
    """Return the file that the error is about if it is neither ``path``, beside it, in it, nor one of its parents."""
    if not isinstance(error.filename, str | bytes):
        return None
    name = os.fsdecode(error.filename)
    file, target = Path(os.path.abspath(name)), Path(os.path.abspath(path))
    own = target.parent in file.parents or file == target.parent or file in target.parents
    return None if own else name


def _reason(error: OSError) -> str:
    return shorten(error.strerror or error)
