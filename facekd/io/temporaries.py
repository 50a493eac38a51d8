"""Names of temporary files and folders that carry host and process, and the removal of those of dead processes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

MAX_NAME_BYTES = 255
"""Bytes of a file name on the usual file systems."""
_FIRST_NAMESPACE = 0xEFFFFFFC
"""The number of Linux's first process namespace, in which everything outside of containers runs."""


@cache
def host_name() -> str:
    """Return a name of this host that is part of file names: letters, digits, ``-`` and ``_``.

    Process ids mean something within one process namespace only. In a container its number is part of the name.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "host"
    with suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino
        if namespace != _FIRST_NAMESPACE:
            return f"{name}-{namespace}"
    return name


def hidden_sibling(path: Path, ending: str) -> Path:
    """Return the path ``.NAME.ENDING`` beside ``path``; a name too long for a file system is shortened."""
    name = f".{path.name}.{ending}"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
        name = f".{path.name[:16]}-{digest}.{ending}"
    return path.with_name(name)


def temporary_path(path: Path) -> Path:
    """Return ``.NAME.HOST.PID.tmp`` beside ``path``; what dead processes of this host left in that folder is removed.

    Raises:
        OSError: the folder cannot be read.
    """
    remove_dead_temporaries(path.parent)
    return hidden_sibling(path, f"{host_name()}.{os.getpid()}.tmp")


@cache
def remove_dead_temporaries(folder: Path) -> None:
    """Remove the temporaries that dead processes of this host left in a folder; a process looks once for each folder.

    What cannot be removed stays.
    """
    pattern = re.compile(rf"\..+\.{re.escape(host_name())}\.([0-9]{{1,10}})\.tmp", re.DOTALL)
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match is None or _is_alive(int(match[1])):
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def _is_alive(process: int) -> bool:
    """Return whether a process of this host exists; on systems where this cannot be asked, every process does."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
