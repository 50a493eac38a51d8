"""The lock of an output: one process writes it, and another one is told which process that is."""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from facekd.errors import SetupError
from facekd.io.temporaries import hidden_sibling
from facekd.io.writing import writing
from facekd.text import path_text, shorten
from facekd.utils.console import is_first_process, notify

_HANDOVER = 0.2
"""Seconds in which the lock file of a process that ends just now is made anew."""
_ATTEMPTS = 5
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_HOLDER_LIMIT = 4096
"""Bytes of the file that names the holder."""


@contextmanager
def lock_output(path: Path | str | None, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of an output file or folder while the block writes it; under torchrun rank 0 holds it.

    The lock is the operating system's lock of the hidden file ``.NAME.lock`` beside the output, or in it where its
    parent cannot be written or is another file system. ``.NAME.holder`` names host, process and command: filelock may
    empty the lock file before it owns it. Both files are removed at the end. A killed process leaves them without
    their lock, and the next process takes them over. The same thread may hold a lock several times.

    Args:
        path: the output; it and its parents need not exist. None, for an output that was not asked for, locks nothing.
        wait: say who writes the output and wait until that process ends, instead of refusing.

    Raises:
        SetupError: another process writes the output and ``wait`` is not set, or the place cannot be written.
    """
    if path is None or not is_first_process():
        yield
        return
    with ExitStack() as stack:
        with writing(path):
            file = _lock_file(Path(path))
            for attempt in range(_ATTEMPTS):
                try:
                    stack.callback(_remove_empty_folders, _make_folders(file.parent))
                    _acquire(stack, file, path, wait)
                    break
                except (FileNotFoundError, FileExistsError):  # another process removed the folders that it had made
                    if attempt == _ATTEMPTS - 1:
                        raise
        yield


def _lock_file(path: Path) -> Path:
    is_folder = path.is_dir()
    path = path.resolve() if is_folder else path.parent.resolve() / path.name
    inside = is_folder and (path.is_mount() or not os.access(path.parent, os.W_OK | os.X_OK))
    return hidden_sibling(path / path.name if inside else path, "lock")


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder with its parents; return those that were made, the innermost first."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty_folders(folders: list[Path]) -> None:
    with suppress(OSError):  # a folder that is not empty stays, and so do its parents
        for folder in folders:
            folder.rmdir()


def _acquire(stack: ExitStack, file: Path, path: Path | str, wait: bool) -> None:
    # A singleton: equal paths give the same lock, which counts how often this thread holds it.
    lock = FileLock(file, is_singleton=True)
    held_before = lock.is_locked
    holder = file.with_suffix(".holder")
    try:
        try:
            lock.acquire(timeout=_HANDOVER)
        except Timeout:
            text = f"{path_text(path)} is being written by {_describe_holder(holder)}"
            if not wait:
                raise SetupError(f"{text}; wait for it or choose another output") from None
            notify(f"{text}; waiting for it")
            lock.acquire(timeout=-1)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        notify(f"{path_text(path)} cannot be locked on this file system; write it with one process at a time")
        return
    stack.callback(lock.release)
    if not held_before:
        # The lock file is removed while the lock is held: filelock refuses a lock file that has no name any more.
        stack.callback(_remove_files, holder, file)
        holder.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid(), "command": _command(),
                                      "since": time.strftime("%H:%M:%S")}), encoding="utf-8")


def _remove_files(*files: Path) -> None:
    for file in files:
        with suppress(OSError):  # Windows removes no open file
            file.unlink()


def _command() -> str:
    program = Path(sys.argv[0] if sys.argv else "").name
    return shorten(shlex.join(["facekd" if program == "__main__.py" else program or "python", *sys.argv[1:]]), 100)


def _describe_holder(holder: Path) -> str:
    try:
        with holder.open("rb") as handle:
            content: dict[str, Any] = json.loads(handle.read(_HOLDER_LIMIT))
        return (f"process {shorten(content['process'], 20)} on host {shorten(content['host'], 60)} "
                f"({shorten(content['command'], 100)}, since {shorten(content['since'], 20)})")
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
