"""The description of one evaluation set on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from facekd.errors import DataError


@dataclass(frozen=True)
class EvaluationSet:
    """One evaluation set, found or missing.

    Attributes:
        title: the name of the set in tables.
        name: the name of its results.
        protocol: ``verify``, ``megaface`` or ``ijb``.
        inputs: the paths of the set by argument name of the protocol's command; empty if the set is missing.
        alternatives: unused copies of the same set in other folders or formats.
        missing: a description of the files that were looked for; empty if the set was found.
    """

    title: str
    name: str
    protocol: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    alternatives: Sequence[Path] = ()
    missing: str = ""

    def stat_digest(self) -> str:
        """Return a hexadecimal SHA-256 over the path, size and modification time of every file; no file is read.

        Raises:
            DataError: a folder cannot be listed.
        """
        digest = hashlib.sha256()
        for argument, path in sorted(self.inputs.items()):
            for file in _files_below(path) if path.is_dir() else [str(path)]:
                status = os.stat(file) if os.path.exists(file) else os.lstat(file)  # a link may be broken
                line = f"{argument} {file.removeprefix(str(path))} {status.st_size} {status.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def list_folder(folder: Path) -> list[Path]:
    """Return the sorted items of a folder.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        _raise_unlistable(error)


def _files_below(folder: Path) -> Iterator[str]:
    """Yield every file below a folder, and every linked folder, which is not entered."""
    for parent, subfolders, names in os.walk(folder, onerror=_raise_unlistable):
        subfolders.sort()
        links = [name for name in subfolders if os.path.islink(os.path.join(parent, name))]
        yield from (os.path.join(parent, name) for name in sorted([*names, *links]))


def _raise_unlistable(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be listed ({error.strerror}); allow it or move it elsewhere")
