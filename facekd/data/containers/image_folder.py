"""A face set in a folder: one subfolder a person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np

from facekd.data.face_set import FaceSet
from facekd.errors import DataError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class FolderFaces(FaceSet):
    """Images under ``path/PERSON/``, at any depth; PERSON, the first folder level, is the identity.

    Order: by person, then by the path below, folder by folder, each compared as text by code point; so it is the same
    on every machine. PERSON may be a symbolic link; linked folders further down are not entered (they might go round in
    circles) but counted.

    Attributes:
        ignored: files that are not part of the set: other extensions, hidden files (or in hidden folders), whatever
            lies directly in ``path``, and linked folders below a person.
        empty: names of the subfolders without an image; they get no label.

    Raises:
        DataError: no such folder, a folder that cannot be read, or no subfolder with an image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        images, people, self.ignored = _find_images(path)
        if not images:
            raise DataError(
                f"{path} holds no subfolder with images ({len(people)} subfolders, {self.ignored} other files). "
                f"The layout is {path}/PERSON/*.jpg, one subfolder a person; endings: {', '.join(sorted(EXTENSIONS))}"
            )
        self._images = ["/".join(parts) for parts in images]
        self.names = sorted({parts[0] for parts in images})
        self.empty = sorted(set(people) - set(self.names))
        number = {name: label for label, name in enumerate(self.names)}
        self.labels = np.array([number[parts[0]] for parts in images], np.int64)

    def read(self, index: int) -> bytes:
        """The bytes of image file ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            return (self.path / self._images[index]).read_bytes()
        except OSError as problem:
            raise DataError(f"{self.where(index)} cannot be read ({problem.strerror}); restore it") from problem

    def where(self, index: int) -> str:
        """The image file."""
        return str(self.path / self._images[index])

    def name(self, index: int) -> str:
        """The image file below the set's folder."""
        return self._images[index]


def _find_images(path: Path) -> tuple[list[tuple[str, ...]], list[str], int]:
    """Images as parts of their path below ``path``, sorted; the subfolders; the number of files that do not count."""
    if not path.is_dir():
        raise DataError(f"{path} is not a folder; give a folder with one subfolder a person")
    _, people, loose = next(os.walk(path, onerror=_refuse))
    images, ignored = [], len(loose)
    for person in people:
        for folder, below, files in os.walk(path / person, onerror=_refuse):
            parts = Path(folder).relative_to(path).parts
            hidden = any(part.startswith(".") for part in parts)
            ignored += sum(os.path.islink(os.path.join(folder, name)) for name in below)
            for file in files:
                if hidden or file.startswith(".") or os.path.splitext(file)[1].lower() not in EXTENSIONS:
                    ignored += 1
                else:
                    images.append((*parts, file))
    return sorted(images), [person for person in people if not person.startswith(".")], ignored


def _refuse(problem: OSError) -> NoReturn:
    raise DataError(f"{problem.filename} cannot be read ({problem.strerror}); allow it or move it elsewhere")
