"""Embed a whole image set into a file; the work continues after a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.face_set import FaceSet
from facekd.data.feature_set import Features, FeatureSet
from facekd.data.features.opening import check_feature_path, check_image_names, open_features, write_sidecars
from facekd.data.features.provenance import read_identity, write_provenance
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_batches
from facekd.evaluation.embedding.growing_array import GrowingArray
from facekd.io.locks import lock_output
from facekd.models.embedder import Embedder
from facekd.text import path_text
from facekd.utils.console import console
from facekd.utils.environment import environment
from facekd.utils.progress import progress_bar

HASHED_IMAGES = 64
"""Images whose content is hashed to recognize a set."""
FLOAT16_NORM_RANGE = 1e-2, 6e4
"""Lengths of embeddings that keep 11 bits in float16; its smallest and largest numbers are close to these."""


def extract(
    embedder: Embedder, images: FaceSet, out: Path, flip: bool = True, half: bool = False, batch_size: int = 64
) -> FeatureSet:
    """Embed a face set into ``OUT.npy``, and write its labels, names and provenance next to it.

    A finished file of the same model, settings and images is reused. An unfinished file (``OUT.npy.partial``) is
    continued, with the same bytes as without the interruption. A file of another model, other settings or images is
    discarded, and a message says so. Images are recognized by their labels, their names and the content of 64 of them:
    after other changes to files that keep their names, remove ``OUT.npy`` first.

    Args:
        embedder: the model; crops are scaled to its input size.
        images: aligned crops.
        out: ``NAME.npy``, float [images, dimension]. The rows keep the length that the model gave them, because
            template pooling uses it; all other readers normalize. Written next to it are ``NAME.labels.npy`` (int64;
            not for a set without labels), ``NAME.names.txt`` (`ImageSet.image_name`, one a line) and ``NAME.json``
            (model, settings, versions).
        flip: whether to sum the embeddings of image and mirror image.
        half: whether to write float16: half the size, rounded to 11 bits (5e-4 of a component).
        batch_size: images that the model processes at once.

    Returns:
        The features, memory-mapped.

    Raises:
        DataError: an image does not decode or is not a square crop, or an embedding is zero, not finite, or, with
            ``half``, of a length outside the range of float16.
        SetupError: the file cannot be written, and the rows written so far are kept; or another process writes it.
    """
    names = [images.image_name(index) for index in range(len(images))]
    check_image_names(names)
    identity = {
        "model": embedder.fingerprint, "size": embedder.size, "flip": flip, "dtype": "float16" if half else "float32",
        "unit_length": False, "images": _fingerprint(images, names), "rows": len(images),
        "dimension": embedder.dimension,
    }
    if _is_finished(out, identity):  # without a lock, so that features in a read-only folder are reused
        console(stderr=True).print(f"{path_text(out)} holds these embeddings already")
        return open_features(out)
    check_feature_path(out)
    with lock_output(out):
        _embed_into(out, identity, embedder, images, names, flip, half, batch_size)
        return open_features(out)


def _embed_into(out: Path, identity: dict[str, Any], embedder: Embedder, images: FaceSet, names: Sequence[str],
                flip: bool, half: bool, batch_size: int) -> None:
    """Embed what is missing in the partial file; then write the files that accompany it, and the array at last."""
    with GrowingArray(out, identity) as array, progress_bar("embed", len(images), start=array.rows_written) as advance:
        for rows in embed_batches(embedder, images, flip, batch_size, start=array.rows_written):
            if half:
                _check_float16_range(rows, images, array.rows_written)
            array.append(rows)
            advance(len(rows), "")
    write_sidecars(out, images.labels if images.is_labeled else None, names)
    write_provenance(out, identity, embedder.name, environment())
    array.finalize()


def _check_float16_range(rows: Features, images: FaceSet, first: int) -> None:
    """Refuse embeddings that float16 would round to zero or infinity; ``first`` is the index of row 0's image."""
    shortest, longest = FLOAT16_NORM_RANGE
    norms = np.linalg.norm(rows, axis=1)
    outside = np.flatnonzero((norms < shortest) | (norms > longest))
    if len(outside):
        row = int(outside[0])
        raise DataError(f"the embedding of {path_text(images.location(first + row))} has length {norms[row]:.3g}, "
                        f"float16 holds {shortest:g} to {longest:g}; embed without --float16")


def _fingerprint(images: FaceSet, names: Sequence[str]) -> str:
    """Return a hexadecimal SHA-256 over all labels and names and the content of some images."""
    digest = hashlib.sha256(images.labels.astype("<i8").tobytes())
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    for index in np.linspace(0, len(images) - 1, min(len(images), HASHED_IMAGES)).astype(int).tolist():
        digest.update(hashlib.sha256(images.read(index)).digest())
    return digest.hexdigest()


def _is_finished(out: Path, identity: dict[str, Any]) -> bool:
    """Return whether ``out`` has this identity; features get their file name after all the files beside them."""
    if read_identity(out) != identity:
        return False
    try:
        features = open_features(out)
    except DataError:  # absent or damaged, so they are computed (again)
        return False
    return (len(features), features.dimension) == (identity["rows"], identity["dimension"])
