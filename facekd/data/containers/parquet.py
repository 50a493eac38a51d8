"""Parquet in the Hugging Face image layout: a column of encoded images and a column of labels."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import MAX_IDENTITIES
from facekd.data.image_set import ImageSet, Pixels
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.io.documents import parse_json
from facekd.io.reading import reading
from facekd.text import path_text, shorten

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
"""Names of the columns, in the order in which they are looked for."""
_BATCH_ROWS = 256
_MAX_RATIO = 10
_MIN_LIMIT = 1 << 28
"""Images may take `_MIN_LIMIT` bytes of memory and, beyond, `_MAX_RATIO` times the size of their file."""


class ParquetImages(ImageSet):
    """Images from a struct column ``image`` or ``img`` {bytes, …}, labels from an integer ``label`` or ``fine_label``.

    The encoded bytes are read once and stay in memory; an image is decoded on access. The names of the classes are in
    the metadata of the schema: Hugging Face's ClassLabel, or ``classes``, separated by commas. If no file has names,
    the classes are 0 to the highest label of all files.

    Args:
        path: the path that the user gave: the file, or the folder of the files.
        files: the shards of the set, in order.
        other_split_files: the files of the other split. Their names must be equal, so that a label means the same class
            in both splits.

    Raises:
        DataError: a file is not Parquet or has other columns; an image has no bytes; a label has no class; or files
            name different classes.
        SetupError: pyarrow is not installed.
    """

    def __init__(self, path: Path, files: Sequence[Path], other_split_files: Sequence[Path] = ()) -> None:
        self.path = path
        shards = [_open(file) for file in files]
        self._files = list(files)
        self.class_names = _common_names([*shards, *(_open(file) for file in other_split_files)])
        labels = [shard.read_labels() for shard in shards]
        for file, shard_labels in zip(files, labels, strict=True):
            _check_range(shard_labels, len(self.class_names), file)
        self.labels = np.concatenate(labels)
        self._starts = np.cumsum([0, *map(len, labels)]).tolist()
        if not len(self.labels):
            raise DataError(f"{path} holds no image (in {len(files)} Parquet files); get it again")
        self._chunks: list[Any] = []
        for shard, shard_labels in zip(shards, labels, strict=True):
            chunks = shard.read_images()
            count = sum(map(len, chunks))
            if count != len(shard_labels):
                raise DataError(f"{path_text(shard.path)} has {count} images and {len(shard_labels)} labels; it is "
                                "damaged: get it again from where it came from")
            self._chunks += chunks
        self._chunk_starts = np.cumsum([0, *map(len, self._chunks)]).tolist()

    def stored_bytes(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``."""
        chunk = bisect_right(self._chunk_starts, index) - 1
        data: bytes = self._chunks[chunk][index - self._chunk_starts[chunk]].as_py()
        return data

    def pixels(self, index: int) -> Pixels:
        """Decode image ``index``.

        Raises:
            DataError: the bytes are not an image; the message names it.
        """
        return decode(self.stored_bytes(index), self.location(index))

    def location(self, index: int) -> str:
        """Return the file and the row in it."""
        shard = bisect_right(self._starts, index) - 1
        return _location(self._files[shard], index - self._starts[shard])


@dataclass(frozen=True)
class _Shard:
    """An open Parquet file.

    Attributes:
        path: the path of the file.
        file: its reader, pyarrow's ParquetFile.
        image: the name of the image column.
        label: the name of the label column.
        names: the names of the classes; None if the file has none.
    """

    path: Path
    file: Any
    image: str
    label: str
    names: list[str] | None

    def read_labels(self) -> NDArray[np.int64]:
        """Return the labels of all rows."""
        with _reading(self.path):
            column = self.file.read(columns=[self.label]).column(0)
            null_count = column.null_count
            labels = None if null_count else np.asarray(column.to_numpy()).astype(np.int64)
        if labels is None:
            raise DataError(f"{path_text(self.path)}: {null_count} of {len(column)} rows have no '{self.label}'; "
                            "remove these rows")
        return labels

    def read_images(self) -> list[Any]:
        """Return the images' bytes as arrays of up to `_BATCH_ROWS` rows.

        A few bytes of a file can stand for many equal images, so the memory is bounded while they are read.
        """
        import pyarrow.compute as compute

        limit = _MIN_LIMIT + _MAX_RATIO * self.path.stat().st_size
        chunks: list[Any] = []
        with _reading(self.path):
            for batch in self.file.iter_batches(_BATCH_ROWS, columns=[f"{self.image}.bytes"]):
                chunks.append(compute.struct_field(batch.column(0), "bytes"))
                limit -= chunks[-1].nbytes
                if limit < 0:
                    raise ValueError(f"its images take more than {_MAX_RATIO} times the memory of the file")
            missing = np.concatenate([chunk.is_null().to_numpy(zero_copy_only=False) for chunk in chunks] or [[]])
        if missing.any():
            raise DataError(
                f"{_location(self.path, int(missing.argmax()))} has no bytes, as {int(missing.sum()) - 1} others; save "
                "the data set again with its images embedded"
            )
        return chunks


def _reading(path: Path) -> AbstractContextManager[None]:
    return reading(path, kind="Parquet", remedy="it is damaged, cut short or another kind of file: get it again from "
                   "where it came from")


def _location(file: Path, row: int) -> str:
    return f"{file}, row {row} (counted from 0)"


def _open(path: Path) -> _Shard:
    """Read the schema of a file, and no data."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SetupError(f"reading {path} needs pyarrow: pip install 'facekd[parquet]'") from error
    with _reading(path):
        with path.open("rb") as handle:  # pyarrow itself opens no path that is not UTF-8
            mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        file = parquet.ParquetFile(arrow.BufferReader(arrow.py_buffer(mapped)))
        if file.metadata.num_rows > path.stat().st_size:
            raise ValueError(f"{file.metadata.num_rows:,} rows do not fit into its bytes")
        schema = file.schema_arrow
        names = schema.names
        metadata = schema.metadata or {}
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    image = next((name for name in IMAGE_COLUMNS if names.count(name) == 1), None)
    label = next((name for name in LABEL_COLUMNS if names.count(name) == 1), None)
    is_integer = label is not None and arrow.types.is_integer(schema.field(label).type)
    if image is None or label is None or not is_integer or not _embeds_images(schema.field(image).type):
        image_names = " or ".join(IMAGE_COLUMNS)
        label_names = " or ".join(LABEL_COLUMNS)
        raise DataError(
            f"{path_text(path)} has the columns {shorten(columns)}; an image column ({image_names}: a struct with "
            f"binary 'bytes') and an integer label column ({label_names}) are needed; save it in the Hugging Face "
            "image layout"
        )
    return _Shard(path, file, image, label, _declared_names(metadata, label, path))


def _embeds_images(kind: Any) -> bool:
    """Return whether the type of a column is a struct that contains the images' bytes."""
    import pyarrow as arrow

    if not arrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field("bytes").type
    return bool(arrow.types.is_binary(inner) or arrow.types.is_large_binary(inner))


def _declared_names(metadata: dict[bytes, bytes], label: str, path: Path) -> list[str] | None:
    """Return the names of the classes in the metadata of a schema; None if there are none."""
    try:
        about = parse_json(metadata.get(b"huggingface", b"{}"), path)
        names = about.get("info", {}).get("features", {}).get(label, {}).get("names")
        if names is None and b"classes" in metadata:
            names = [name.strip() for name in metadata[b"classes"].decode("utf-8").split(",")]
    except (DataError, ValueError, AttributeError) as error:
        raise DataError(f"{path_text(path)}: the schema's metadata are damaged ({shorten(error)}); get the file "
                        "again") from error
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError(f"{path_text(path)}: the names of the classes in the metadata are no list of texts; get "
                        "the file again")
    return names


def _common_names(shards: Sequence[_Shard]) -> list[str]:
    """Return the names of the classes, which must be equal in all files that have them."""
    named = [shard for shard in shards if shard.names is not None]
    for shard in named:
        if shard.names != named[0].names:
            raise DataError(
                f"{named[0].path} and {shard.path} name different classes, so a label would not mean the same class "
                "in both; keep the files of one data set in a folder"
            )
    if named:
        return list(named[0].names or [])
    highest = max((int(labels.max()) for shard in shards if len(labels := shard.read_labels())), default=-1)
    if highest >= MAX_IDENTITIES:
        raise DataError(f"{path_text(shards[0].path)} or another file of its set has the label {highest}, which is no "
                        "number of a class; correct the labels to 0, 1, 2, ...")
    return [str(label) for label in range(highest + 1)]


def _check_range(labels: NDArray[np.int64], classes: int, file: Path) -> None:
    invalid = np.flatnonzero((labels < 0) | (labels >= classes))
    if not len(invalid):
        return
    first = labels[invalid[0]]
    secret = " (-1 marks images whose class is kept secret: give another split)" if first == -1 else ""
    raise DataError(
        f"{_location(file, int(invalid[0]))} has the label {first}, the classes are 0 to {classes - 1}; "
        f"{len(invalid)} of {len(labels)} images are like this{secret}; remove them or correct the labels"
    )
