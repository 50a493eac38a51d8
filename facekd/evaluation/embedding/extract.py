"""Embeddings of a whole image set into one file; killed and run again, it continues."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.face_set import FaceSet
from facekd.data.feature_set import Features, FeatureSet
from facekd.data.features.opening import beside, check_name, check_names, open_features, write_beside
from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embeddings
from facekd.evaluation.embedding.growing_array import GrowingArray
from facekd.models.embedder import Embedder
from facekd.run import environment
from facekd.utils import files
from facekd.utils.progress import console, progress

VERSION = 1
SAMPLED = 64
"""Images whose content is looked at, to know the set again."""
HALF = 1e-2, 6e4
"""Lengths between which an embedding keeps 11 bits in float16, whose smallest and largest numbers are near."""


def extract(
    embedder: Embedder, images: FaceSet, out: Path, flip: bool = True, half: bool = False, batch: int = 64
) -> FeatureSet:
    """Embed a face set into ``OUT.npy``, with labels, names and where they came from beside it.

    A finished file of the same model, settings and images is used again. An unfinished one (``OUT.npy.partial``) is
    continued with the same bytes as without the break; one of another model, other settings or images is begun anew,
    which is said. The images are known again by their labels, their names and the content of 64 of them: after other
    changes to files whose names stay, remove ``OUT.npy`` first.

    Args:
        embedder: the model; crops are brought to its size.
        images: aligned crops.
        out: ``NAME.npy``, float [images, dimension], rows as long as the model made them: templates are pooled with
            these lengths, all else normalises what it reads. Beside it ``NAME.labels.npy`` (int64), ``NAME.names.txt``
            (`ImageSet.name`, one a line) and ``NAME.json`` (model, settings, versions).
        flip: sum the embeddings of image and mirror.
        half: write float16, half the size, rounded to 11 bits (5e-4 of a component).
        batch: images the model sees at once.

    Returns:
        The features, memory-mapped.

    Raises:
        DataError: an image does not decode or is no square crop, or an embedding is zero, not finite, or of a length
            that float16 cannot hold where that is asked for.
        SetupError: the disk is full; what was done before is kept.
    """
    check_name(out)
    names = [images.name(index) for index in range(len(images))]
    check_names(names)
    identity = {
        "model": embedder.fingerprint, "size": embedder.size, "flip": flip, "dtype": "float16" if half else "float32",
        "unit_length": False, "images": _fingerprint(images, names), "rows": len(images),
        "dimension": embedder.dimension,
    }
    finished = _finished(out, identity)
    if finished is not None:
        console.print(f"{out} holds these embeddings already", markup=False, soft_wrap=True)
        return finished
    with GrowingArray(out, identity) as array, progress("embed", len(images), start=array.done) as advance:
        for rows in embeddings(embedder, images.read, images.where, len(images), flip, batch, array.done):
            if half:
                _check_half(rows, images, array.done)
            array.append(rows)
            advance(len(rows), "")
    write_beside(out, images.labels, names)
    content = {"identity": identity, "name": embedder.name, "environment": environment()}
    files.write_versioned(beside(out, ".json"), "features", VERSION, content)
    array.rename()
    return open_features(out)


def origin(features: Path) -> dict[str, Any]:
    """What made a feature file, as `extract` notes it: ``model`` (its fingerprint), ``flip`` and so on; or nothing."""
    try:
        made = files.read_json(beside(features, ".json")).get("identity")
    except DataError:  # features from elsewhere, or the labels of some
        return {}
    return made if isinstance(made, dict) else {}


def _check_half(rows: Features, images: FaceSet, done: int) -> None:
    """Refuse embeddings that float16 would round to nothing or to infinity."""
    norms = np.linalg.norm(rows, axis=1)
    bad = np.flatnonzero((norms < HALF[0]) | (norms > HALF[1]))
    if len(bad):
        raise DataError(f"the embedding of {images.where(done + int(bad[0]))} has length {norms[bad[0]]:.3g}, float16 "
                        f"holds {HALF[0]:g} to {HALF[1]:g}; embed without --half")


def _fingerprint(images: FaceSet, names: Sequence[str]) -> str:
    """Hexadecimal SHA-256 over all labels and names and the content of some images."""
    digest = hashlib.sha256(images.labels.astype("<i8").tobytes())
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    for index in np.linspace(0, len(images) - 1, min(len(images), SAMPLED)).astype(int).tolist():
        digest.update(hashlib.sha256(images.read(index)).digest())
    return digest.hexdigest()


def _finished(out: Path, identity: dict[str, Any]) -> FeatureSet | None:
    """The features that stand in ``out`` if they are these; the file gets its name last, after all beside it."""
    try:
        made = files.read_versioned(beside(out, ".json"), "features", VERSION, DataError)
        found = open_features(out)
    except DataError:  # absent or damaged: it is made (again)
        return None
    shape = [len(found), found.dimension]
    return found if made.get("identity") == identity and shape == [identity["rows"], identity["dimension"]] else None

