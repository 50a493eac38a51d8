"""What the fuzzing room knows of one parser: the files it reads, how they are damaged, and the call that reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

Files = Mapping[str, bytes]
"""The content of files by their path below the folder of a parser."""


@dataclass(frozen=True)
class Parser:
    """One parser of files from outside.

    Attributes:
        name: the name in the table; a word of letters, digits and underscores.
        modules: the modules of facekd whose reading it covers, as paths below the package.
        make_seeds: makes valid inputs, small and always the same, in an empty folder that it may write to.
        read: reads the files in a folder with the public reader, and touches what the reader promised lazily.
        targets: the files that are damaged, as patterns, with the mutator of each (a key of `mutators.MUTATORS`).
        scratch: files and folders that ``read`` makes in the folder; they are removed after each call.
        lines: lines that a message may have; only recipes list several mistakes.
    """

    name: str
    modules: Sequence[str]
    make_seeds: Callable[[Path], Sequence[Files]]
    read: Callable[[Path], object]
    targets: Mapping[str, str]
    scratch: Sequence[str] = ()
    lines: int = 1

    def mutator_of(self, file: str) -> str | None:
        """Return the mutator of a file, None if the file is never damaged."""
        return next((kind for pattern, kind in self.targets.items() if fnmatch(file, pattern)), None)


def collect(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*")) if file.is_file()}


def write(folder: Path, files: Files) -> Path:
    """Write files below a folder, and return the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
