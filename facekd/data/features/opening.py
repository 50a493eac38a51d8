"""Files that features lie in: NumPy arrays, safetensors, and MegaFace's trees of one file an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import check_paths, some
from facekd.data.feature_set import ArrayFeatures, FeatureSet, SelectedFeatures
from facekd.data.features.safetensors import open_tensors, whole_numbers
from facekd.data.megaface.feature_tree import ENDING, TreeFeatures, tree_names
from facekd.errors import DataError
from facekd.utils import files

BESIDE = (".labels.npy", ".names.txt", ".json")
"""What may lie beside ``NAME.npy``: int64 [rows] labels, one name a line, and where the features came from."""


def open_features(path: Path | str, names: Sequence[str] | None = None, ending: str = ENDING) -> FeatureSet:
    """Open features without reading them.

    - ``NAME.npy``: float or int8 [rows, dimension], memory-mapped.
    - ``NAME.safetensors``: the tensor ``features``, or the file's only such tensor of two dimensions, memory-mapped;
      int ``labels`` [rows] beside it where present.
    - a folder: MegaFace's tree, see `TreeFeatures`.

    Beside a file ``NAME.labels.npy`` and ``NAME.names.txt`` are read where present.

    Args:
        path: the file or the root of the tree.
        names: which rows, in which order, as the images' relative paths; by default all. A file that says no names and
            has as many rows is taken to be in this order.
        ending: of the tree's files, behind the image's path.

    Raises:
        DataError: absent, no such array, labels or names of another length, or a name that is not there.
    """
    path = Path(path)
    if path.is_dir():
        return TreeFeatures(path, tree_names(path, ending) if names is None else names, ending)
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    if path.suffix not in (".npy", ".safetensors"):
        raise DataError(f"{path} is no folder and ends neither in .npy nor in .safetensors; give one of these")
    found = open_tensors(path) if path.suffix == ".safetensors" else ArrayFeatures(_load(path), path)
    labels, listed = beside(path, ".labels.npy"), beside(path, ".names.txt")
    if labels.exists():
        found.labels = whole_numbers(_load(labels), str(labels), found)
    if listed.exists():
        found.names = listed.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
        if len(found.names) != len(found):
            raise DataError(f"{listed} holds {len(found.names)} names, {path.name} {len(found)} rows; "
                            "write them again together")
    return found if names is None else _in_order(found, names)


def beside(path: Path, kind: str) -> Path:
    """The file of a kind in `BESIDE` that belongs to a feature file."""
    return path.with_suffix(kind)


def write_features(
    path: Path, features: NDArray[np.floating[Any]], labels: NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write features to ``NAME.npy`` and, where given, labels and names beside it.

    Args:
        path: must end in ``.npy``.
        features: float [rows, dimension].
        labels: int64 [rows], the identity of each row.
        names: the image of each row.

    Raises:
        DataError: the name does not end in ``.npy``, or a name holds a line break.
        SetupError: the disk is full.
    """
    check_name(path)
    check_names(names or [])
    with files.atomic(path) as temporary:
        with temporary.open("wb") as handle:
            np.save(handle, features, allow_pickle=False)
        write_beside(path, labels, names)


def write_beside(path: Path, labels: NDArray[np.int64] | None, names: Sequence[str] | None) -> None:
    """Write what belongs beside features that are about to be renamed to ``path``.

    What is there now under these names is removed first, the features before all: whenever this ends, features never
    stand beside labels of others.

    Raises:
        SetupError: the disk is full.
    """
    for old in (path, *(beside(path, kind) for kind in BESIDE)):
        old.unlink(missing_ok=True)
    if labels is not None:
        with files.atomic(beside(path, ".labels.npy")) as temporary, temporary.open("wb") as handle:
            np.save(handle, labels, allow_pickle=False)
    if names is not None:
        text = "".join(f"{name}\n" for name in names)
        files.write_bytes(beside(path, ".names.txt"), text.encode("utf-8", "surrogateescape"))


def check_name(path: Path) -> None:
    """Refuse a file to be written whose name does not end in ``.npy``."""
    if path.suffix != ".npy":
        raise DataError(f"{path}: a feature file ends in .npy; give such a name")


def check_names(names: Sequence[str]) -> None:
    """Refuse names that could not be read back from lines."""
    broken = [name for name in names if "\n" in name]
    if broken:
        raise DataError(f"{len(broken)} images have a line break in their name, e.g. {broken[0]!r}; rename them")


def _load(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} cannot be read as a NumPy array ({problem}); write it again") from problem
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is an archive of arrays; save one array with numpy.save")
    return array


def _in_order(found: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """The rows of these names, in this order."""
    check_paths(names, f"the list of features in {found.path}")
    if found.names is None:
        if len(found) != len(names):
            raise DataError(
                f"{found.path} has {len(found)} rows and does not name them, the list has {len(names)} paths; "
                f"write the rows' names beside it ({beside(found.path, '.names.txt').name}) or give its own list"
            )
        found.names = names
        return found
    check_paths(found.names, str(beside(found.path, ".names.txt")))
    rows = {name: row for row, name in enumerate(found.names)}
    missing = [name for name in names if name not in rows]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(names)} paths listed have no row in {found.path}: {some(missing)}; "
            "embed these images or take them from the list"
        )
    return SelectedFeatures(found, np.array([rows[name] for name in names], np.int64))
