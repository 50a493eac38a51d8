"""``facekd pack``: a face set as InsightFace RecordIO."""

from __future__ import annotations

from pathlib import Path

from facekd.api.data.paths import require_path
from facekd.data.containers import recordio_writer
from facekd.data.containers.recordio_writer import PackSummary
from facekd.data.opening import open_faces


def pack(folder: Path | str, out: Path | str) -> PackSummary:
    """Write a face set as InsightFace RecordIO (``train.rec``, ``train.idx``, ``property``, ``names.txt``).

    Args:
        folder: a face set of aligned crops, see `facekd.data.opening.open_faces`.
        out: the RecordIO folder to write.

    Raises:
        DataError: images are not square, differ in size or do not decode; ``out`` contains a face set already, or is
            the folder of the face set.
        SetupError: ``out`` cannot be written, or another process writes it.
    """
    return recordio_writer.pack(open_faces(require_path(folder, "the face set")), require_path(out, "the output"))
