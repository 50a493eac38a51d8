"""A face set in a folder with one subfolder per person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np

from facekd.data.face_set import FaceSet
from facekd.data.image_file import read_image_file
from facekd.errors import DataError
from facekd.text import path_text

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class FolderFaces(FaceSet):
    """Images under ``path/PERSON/``, at any depth. PERSON, the first folder level, is the identity.

    Images are sorted by person, then by the path below it, folder by folder, each compared by code point; so the order
    is the same on every machine. PERSON may be a symbolic link; linked folders further down are not entered, because
    they may form cycles, but counted.

    Args:
        path: the folder.

    Attributes:
        ignored: the number of files that are not part of the set: other extensions, hidden files (or in hidden
            folders), files directly in ``path``, and linked folders below a person.
        empty: the names of the subfolders without an image; they get no label.

    Raises:
        DataError: the folder does not exist, a folder cannot be read, or no subfolder contains an image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        images, people, self.ignored = _find_images(path)
        if not images:
            raise _no_images(path, len(people), self.ignored)
        self._paths = ["/".join(components) for components in images]
        self.class_names = sorted({components[0] for components in images})
        self.empty = sorted(set(people) - set(self.class_names))
        label_of = {name: label for label, name in enumerate(self.class_names)}
        self.labels = np.array([label_of[components[0]] for components in images], np.int64)

    def read(self, index: int) -> bytes:
        """Return the bytes of image file ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        return read_image_file(self.path / self._paths[index])

    def location(self, index: int) -> str:
        """Return the path of the image file."""
        return str(self.path / self._paths[index])

    def image_name(self, index: int) -> str:
        """Return the path of the image file relative to the folder of the set."""
        return self._paths[index]


def _find_images(path: Path) -> tuple[list[tuple[str, ...]], list[str], int]:
    """Return the sorted images as path components below ``path``, the subfolders, and the number of ignored files."""
    if not os.path.isdir(path):
        raise DataError(f"{path_text(path)} is not a folder; give a folder with one subfolder per person")
    _, people, other_files = next(os.walk(path, onerror=_refuse))
    images = []
    ignored = len(other_files)
    for person in people:
        for folder, subfolders, files in os.walk(path / person, onerror=_refuse):
            components = Path(folder).relative_to(path).parts
            hidden = any(component.startswith(".") for component in components)
            ignored += sum(os.path.islink(os.path.join(folder, name)) for name in subfolders)
            for file in files:
                if hidden or file.startswith(".") or os.path.splitext(file)[1].lower() not in EXTENSIONS:
                    ignored += 1
                else:
                    images.append((*components, file))
    return sorted(images), [person for person in people if not person.startswith(".")], ignored


def _no_images(path: Path, subfolders: int, ignored: int) -> DataError:
    extensions = ", ".join(sorted(EXTENSIONS))
    flat = sum(os.path.splitext(name)[1].lower() in EXTENSIONS for name in os.listdir(path))
    if flat:
        return DataError(f"{path_text(path)} holds {flat:,} images directly and no subfolder with images; put those of "
                         "each person into a subfolder, or images without names all into one, from which 'facekd "
                         "distill' learns without labels")
    return DataError(f"{path_text(path)} holds no subfolder with images ({subfolders} subfolders, {ignored} other "
                     f"files). The layout is PERSON/*.jpg, one subfolder per person; extensions: {extensions}")


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{path_text(error.filename)} cannot be read ({error.strerror}); allow it or move it elsewhere")
