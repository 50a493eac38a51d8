"""A face set in a folder with one subfolder per person."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from facekd.data.face_set import FileFaces
from facekd.errors import DataError
from facekd.text import path_text, shorten

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True)
class FolderListing:
    """The images below a folder.

    Attributes:
        path: the folder.
        images: sorted, each as the names of the folders below ``path``, followed by the name of the file.
        subfolders: the names of the folders in ``path``, without hidden ones.
        ignored: the number of other files, of hidden files (or in hidden folders), and of linked folders that are not
            entered.
    """

    path: Path
    images: list[tuple[str, ...]]
    subfolders: list[str]
    ignored: int

    @property
    def loose(self) -> int:
        """Number of images directly in the folder."""
        return sum(len(image) == 1 for image in self.images)

    def unlabeled_reason(self) -> str:
        """Return why the layout names nobody; empty if every image lies directly in a subfolder, that of its person."""
        if self.loose == len(self.images):
            return "its images lie directly in the folder" if self.images else ""
        for where, found, effect in (
            ("directly in the folder", [image for image in self.images if len(image) == 1], "leaves them out"),
            ("deeper than PERSON/IMAGE", [image for image in self.images if len(image) > 2], "takes the first level of "
             "subfolders as people"),
        ):
            if found:
                return (f"{len(found):,} of {len(self.images):,} images lie {where}, e.g. "
                        f"{shorten('/'.join(found[0]), 80)}; --labels, in a recipe data.labels=true, {effect}")
        return ""


class FolderFaces(FileFaces):
    """Images under ``path/PERSON/``, at any depth. PERSON, the first folder level, is the identity.

    Images are sorted by person, then by the path below it, folder by folder, each compared by code point; so the order
    is the same on every machine. PERSON may be a symbolic link; linked folders further down are not entered, because
    they may form cycles, but counted.

    Args:
        path: the folder.
        listing: its images, where they are known already.

    Attributes:
        ignored: the number of files that are not part of the set: other extensions, hidden files (or in hidden
            folders), files directly in ``path``, and linked folders below a person.
        empty: the names of the subfolders without an image; they get no label.

    Raises:
        DataError: the folder does not exist, a folder cannot be read, or no subfolder contains an image.
    """

    def __init__(self, path: Path, listing: FolderListing | None = None) -> None:
        self.path = path
        listing = listing or list_images(path)
        images = [image for image in listing.images if len(image) > 1]
        if not images:
            raise _no_images(listing)
        self.ignored = listing.ignored + listing.loose
        super().__init__(path, ["/".join(components) for components in images])
        self.class_names = sorted({components[0] for components in images})
        self.empty = sorted(set(listing.subfolders) - set(self.class_names))
        label_of = {name: label for label, name in enumerate(self.class_names)}
        self.labels = np.array([label_of[components[0]] for components in images], np.int64)


def list_images(path: Path) -> FolderListing:
    """Find the images below a folder, at any depth; linked folders are entered if they lie directly in it.

    Raises:
        DataError: the folder does not exist, or a folder cannot be read.
    """
    if not os.path.isdir(path):
        raise DataError(f"{path_text(path)} is not a folder; give a folder with one subfolder per person")
    _, subfolders, files = next(os.walk(path, onerror=_refuse))
    images: list[tuple[str, ...]] = [(file,) for file in files if _is_image(file)]
    ignored = len(files) - len(images)
    for subfolder in subfolders:
        for folder, inner, names in os.walk(path / subfolder, onerror=_refuse):
            components = Path(folder).relative_to(path).parts
            hidden = any(component.startswith(".") for component in components)
            found = [] if hidden else [name for name in names if _is_image(name)]
            ignored += len(names) - len(found) + sum(os.path.islink(os.path.join(folder, name)) for name in inner)
            images += [(*components, name) for name in found]
    return FolderListing(path, sorted(images), [name for name in subfolders if not name.startswith(".")], ignored)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in EXTENSIONS


def _no_images(listing: FolderListing) -> DataError:
    path = path_text(listing.path)
    if listing.loose:
        return DataError(f"{path} holds {listing.loose:,} images directly and no subfolder with images; put those of "
                         "each person into a subfolder, or use it as a set without labels")
    extensions = ", ".join(sorted(EXTENSIONS))
    return DataError(f"{path} holds no subfolder with images ({len(listing.subfolders)} subfolders, {listing.ignored} "
                     "other files); one subfolder per person is PERSON/*.jpg, and images without labels may lie "
                     f"anywhere in the folder; extensions: {extensions}")


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{path_text(error.filename)} cannot be read ({error.strerror}); allow it or move it elsewhere")
