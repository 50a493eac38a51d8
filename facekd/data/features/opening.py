"""Open and write feature files: NumPy arrays, safetensors, and MegaFace's trees of one file per image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import abbreviate, check_relative_paths
from facekd.data.feature_set import ArrayFeatures, FeatureSet, FeatureSubset
from facekd.data.features.provenance import PROVENANCE_SUFFIX
from facekd.data.features.safetensors import integer_labels, open_safetensors
from facekd.data.megaface.feature_names import DEFAULT_SUFFIX, list_image_names
from facekd.data.megaface.feature_tree import TreeFeatures
from facekd.errors import DataError
from facekd.io import files
from facekd.io.arrays import open_npy
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.io.reading import read_text
from facekd.io.writing import writing
from facekd.text import path_text, short_repr

_LABELS = ".labels.npy"
_NAMES = ".names.txt"
SIDECAR_SUFFIXES = (_LABELS, _NAMES, PROVENANCE_SUFFIX)
_NAMES_LIMIT = 4 << 30
"""Bytes of a file of image names: tens of millions of long paths fit."""
_REWRITE = "write it again"
"""The files that can accompany ``NAME.npy``: int64 [rows] labels, one image name per line, and the provenance."""


def open_features(path: Path | str, names: Sequence[str] | None = None, suffix: str = DEFAULT_SUFFIX) -> FeatureSet:
    """Open features without reading them.

    - ``NAME.npy``: float or int8 [rows, dimension], memory-mapped.
    - ``NAME.safetensors``: the tensor ``features``, or the only tensor that could be features, memory-mapped, and the
      integer tensor ``labels`` [rows] if present.
    - a folder: MegaFace's feature tree, see `TreeFeatures`.

    For a file, ``NAME.labels.npy`` and ``NAME.names.txt`` are read as well if they exist.

    Args:
        path: the file, or the root of the tree.
        names: the rows to select and their order, as the images' relative paths; default: all rows. Rows without names
            must be as many as ``names``, and are assumed to be in the same order.
        suffix: the text that a tree appends to the path of an image.

    Raises:
        DataError: there is no such file, it contains no features, its labels or names have another length, or a name of
            ``names`` has no row.
    """
    path = Path(path)
    if os.path.isdir(path):
        return TreeFeatures(path, list_image_names(path, suffix) if names is None else names, suffix)
    if not os.path.exists(path):
        raise DataError(f"{path_text(path)} does not exist; check the path")
    if path.suffix not in (".npy", ".safetensors"):
        raise DataError(f"{path_text(path)} is no folder and ends neither in .npy nor in .safetensors; give one of "
                        "these")
    features: FeatureSet
    features = (open_safetensors(path) if path.suffix == ".safetensors"
                else ArrayFeatures(open_npy(path, remedy=_REWRITE), path))
    labels_file = sidecar_path(path, _LABELS)
    if labels_file.exists():
        features.labels = integer_labels(open_npy(labels_file, remedy=_REWRITE), path_text(labels_file), features)
    names_file = sidecar_path(path, _NAMES)
    if names_file.exists():
        features.image_names = _read_names(names_file)
        if len(features.image_names) != len(features):
            raise DataError(f"{path_text(names_file)} holds {len(features.image_names):,} names, "
                            f"{path_text(path.name)} {len(features):,} rows; write them again together")
    return features if names is None else _select(features, names)


def sidecar_path(path: Path, suffix: str) -> Path:
    """Return the path of the file with a suffix of `SIDECAR_SUFFIXES` that accompanies a feature file."""
    return path.with_suffix(suffix)


def write_features(
    path: Path, features: NDArray[np.floating[Any]], labels: NDArray[np.int64] | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write features to ``NAME.npy``, and labels and names, if given, to the files that accompany it.

    Args:
        path: the file; must end in ``.npy``.
        features: float [rows, dimension].
        labels: int64 [rows], the identity of each row.
        names: the image of each row.

    Raises:
        DataError: the file name does not end in ``.npy``, or an image name contains a line break.
        SetupError: the file cannot be written, or another process writes it.
    """
    check_feature_path(path)
    check_image_names(names or [])
    with lock_output(path), files.atomic_write(path) as temporary:
        with temporary.open("wb") as handle:
            np.save(handle, features, allow_pickle=False)
        write_sidecars(path, labels, names)


def write_sidecars(path: Path, labels: NDArray[np.int64] | None, names: Sequence[str] | None) -> None:
    """Write labels and names for complete features that the caller is about to rename to ``path``.

    The existing files are removed first, and the features before the others. So features never accompany labels or
    names of other features, whenever the process ends. The caller holds the lock of ``path``.

    Args:
        path: the feature file.
        labels: int64 [rows], or None for no labels.
        names: the image of each row, or None for no names.

    Raises:
        SetupError: a file cannot be written.
    """
    with writing(path):
        for old in (path, *(sidecar_path(path, suffix) for suffix in SIDECAR_SUFFIXES)):
            old.unlink(missing_ok=True)
    if labels is not None:
        with files.atomic_write(sidecar_path(path, _LABELS)) as temporary, temporary.open("wb") as handle:
            np.save(handle, labels, allow_pickle=False)
    if names is not None:
        text = "".join(f"{name}\n" for name in names)
        files.write_bytes(sidecar_path(path, _NAMES), text.encode("utf-8", "surrogateescape"))


def check_feature_path(path: Path) -> None:
    """Check before the work that a feature file and the files that accompany it can be written.

    Raises:
        DataError: the name does not end in ``.npy``.
        SetupError: a folder is in the way, or the place cannot be written.
    """
    if path.suffix != ".npy":
        raise DataError(f"{path_text(path)}: a feature file ends in .npy; give such a name")
    for file in (path, *(sidecar_path(path, suffix) for suffix in SIDECAR_SUFFIXES)):
        check_writable(file)


def check_image_names(names: Sequence[str]) -> None:
    """Raise a DataError if a name contains a line break; the names file has one name per line."""
    broken = [name for name in names if "\n" in name]
    if broken:
        raise DataError(f"{len(broken):,} images have a line break in their name, e.g. {short_repr(broken[0])}; "
                        "rename them")


def _read_names(path: Path) -> list[str]:
    # Only "\n" separates names: str.splitlines would also split at other characters that file names may contain.
    text = read_text(path, limit=_NAMES_LIMIT, errors="surrogateescape", remedy=_REWRITE)
    return text.removesuffix("\n").split("\n")


def _select(features: FeatureSet, names: Sequence[str]) -> FeatureSet:
    """Return the rows of these image names, in this order."""
    check_relative_paths(names, f"the list of features in {path_text(features.path)}")
    names_file = sidecar_path(features.path, _NAMES)
    if features.image_names is None:
        if len(features) != len(names):
            raise DataError(
                f"{path_text(features.path)} has {len(features):,} rows without names, the list has {len(names):,} "
                f"paths; write the rows' names to {path_text(names_file.name)} or give the list that the rows were "
                "computed from"
            )
        features.image_names = names
        return features
    check_relative_paths(features.image_names, path_text(names_file))
    rows = {name: row for row, name in enumerate(features.image_names)}
    missing = [name for name in names if name not in rows]
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(names):,} paths listed have no row in {path_text(features.path)}: "
            f"{abbreviate(missing)}; embed these images or take them from the list"
        )
    return FeatureSubset(features, np.array([rows[name] for name in names], np.int64))
