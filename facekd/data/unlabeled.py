"""Face sets without labels: loose images, lists of images, and other sets whose labels do not count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facekd.data.containers.path_list import check_files_exist, check_relative_paths, read_path_list
from facekd.data.face_set import FaceSet, FaceSubset, FileFaces
from facekd.data.image_set import UNLABELED, ImageSet
from facekd.errors import DataError
from facekd.text import path_text


class LooseImages(FileFaces):
    """Image files without labels.

    Args:
        path: the folder or the list that names the images.
        root: the folder to which the paths are relative.
        paths: relative paths with '/'.
        reason: why the set has no labels.
        ignored: the number of files below the folder that are not part of the set.

    Attributes:
        ignored: see above.
    """

    def __init__(self, path: Path, root: Path, paths: Sequence[str], reason: str, ignored: int = 0) -> None:
        super().__init__(root, paths)
        self.path = path
        self.ignored = ignored
        self.labels = np.zeros(len(paths), np.int64)
        self.class_names = [UNLABELED]
        self.unlabeled_reason = reason


class WithoutLabels(FaceSubset):
    """All images of a face set in their order, without its labels.

    Args:
        images: the set.
    """

    def __init__(self, images: FaceSet) -> None:
        super().__init__(images, np.arange(len(images)))
        self.labels = np.zeros(len(images), np.int64)
        self.class_names = [UNLABELED]
        self.unlabeled_reason = "its labels were set aside"


def open_image_list(path: Path, root: Path | None) -> LooseImages:
    """Open the images that a text file names, one path a line.

    Args:
        path: the list.
        root: the folder from which the paths start; None for the folder of the list. Absolute paths must be below it.

    Raises:
        DataError: the list cannot be read or is empty, or a path leads out of the folder, occurs twice or is no file.
    """
    folder = path.parent if root is None else root
    paths = [_relative_path(listed, folder) for listed in read_path_list(path)]
    check_relative_paths(paths, f"the list {path_text(path)}")
    check_files_exist(folder, paths)
    return LooseImages(path, folder, paths, "it is a list of images")


def _relative_path(path: str, root: Path) -> str:
    """Return a path of a list relative to the root, if it is below; ``find`` writes './a.jpg' and absolute paths."""
    if path.startswith("/"):
        return path.removeprefix(os.path.abspath(root).rstrip("/") + "/")
    return path.removeprefix("./")


def require_labels(images: ImageSet, use: str, remedy: str = "") -> None:
    """Refuse a set without labels.

    Args:
        images: the set.
        use: what needs the labels, the subject of a sentence.
        remedy: what the user can do in place of giving one subfolder per person, after "or".

    Raises:
        DataError: the set has no labels.
    """
    if images.is_labeled:
        return
    reason = f" ({images.unlabeled_reason})" if images.unlabeled_reason else ""
    alternative = f", or {remedy}" if remedy else ""
    raise DataError(f"{path_text(images.path)} has no labels{reason}, and {use} needs them; give a folder with one "
                    f"subfolder per person, as 'facekd group' makes it{alternative}")
