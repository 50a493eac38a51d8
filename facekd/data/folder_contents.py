"""The files of interest in a folder, found by one listing, so that the time of a search grows with the files alone."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from facekd.data.evaluation_set import list_folder


class FolderContents(NamedTuple):
    """What was looked for in a folder.

    Attributes:
        path: the folder.
        files: its files with one of the extensions, sorted by extension and name.
        names: those of the names that it holds.
    """

    path: Path
    files: list[Path]
    names: set[str]

    def subfolder(self, name: str) -> Path | None:
        """Return the path of a subfolder; None if there is none."""
        return self.path / name if name in self.names and (self.path / name).is_dir() else None

    def has_file(self, name: str) -> bool:
        """Return whether a file of this name is directly in the folder."""
        return name in self.names and (self.path / name).is_file()


def list_contents(folder: Path, extensions: Collection[str], names: Collection[str]) -> FolderContents:
    """List a folder once.

    Args:
        folder: the folder.
        extensions: extensions of files, in lower case with their dot.
        names: names of files and subfolders.

    Raises:
        DataError: the folder cannot be listed.
    """
    items = list_folder(folder)
    files = [item for item in items if item.suffix.lower() in extensions and item.is_file()]
    found = {item.name for item in items if item.name in names}
    return FolderContents(folder, sorted(files, key=lambda file: (file.suffix.lower(), file.name)), found)
