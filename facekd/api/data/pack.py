"""``facekd pack``: a face set as InsightFace RecordIO."""

from __future__ import annotations

from pathlib import Path

from facekd.api.data.paths import require_path
from facekd.data.containers import recordio_writer
from facekd.data.containers.recordio_writer import PackSummary
from facekd.data.opening import open_faces


def pack(folder: Path | str, out: Path | str, *, labels: bool | None = None, root: Path | str | None = None
         ) -> PackSummary:
    """Write a face set as InsightFace RecordIO (``train.rec``, ``train.idx``, ``property``, ``names.txt``).

    A set without labels becomes one identity, whose name in ``names.txt`` says that there are no labels.

    Args:
        folder: a face set of aligned crops, see `facekd.data.opening.open_faces`.
        out: the RecordIO folder to write.
        labels: whether the set has labels, see `facekd.data.opening.open_faces`.
        root: the folder from which the paths of a text list start.

    Raises:
        DataError: images are not square, differ in size or do not decode; ``out`` contains a face set already, or is
            the folder of the face set.
        SetupError: ``out`` cannot be written, or another process writes it.
    """
    faces = open_faces(require_path(folder, "the face set"), labels=labels, root=root)
    return recordio_writer.pack(faces, require_path(out, "the output"))
