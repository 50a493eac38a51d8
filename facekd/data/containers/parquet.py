"""Parquet in the Hugging Face image layout: a column of encoded images, a column of labels, one file or shards."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.image_set import ImageSet, Pixels
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError

IMAGES = ("image", "img")
LABELS = ("label", "fine_label")
"""The columns that are looked for, in this order."""


class ParquetImages(ImageSet):
    """Images from a struct column ``image`` or ``img`` {bytes, …}, classes from an integer ``label`` or ``fine_label``.

    The encoded bytes are read once and stay in memory; an image is decoded when it is asked for. The names of the
    classes stand in the schema's metadata: Hugging Face's ClassLabel, or ``classes``, separated by commas; where no
    file has any, the classes are 0 to the highest label of all the files.

    Args:
        path: what a person gave: the file, or the folder of the files.
        files: the shards of the set, in order.
        beside: files of the other split: their names must be the same, so that a label means one class in both.

    Raises:
        DataError: a file that is no Parquet or has other columns; an image without bytes; a label without a class;
            files that name different classes.
        SetupError: pyarrow is not installed.
    """

    def __init__(self, path: Path, files: Sequence[Path], beside: Sequence[Path] = ()) -> None:
        self.path = path
        shards = [_open(file) for file in files]
        self._files = list(files)
        self.names = _common_names([*shards, *(_open(file) for file in beside)])
        parts = [shard.read_labels() for shard in shards]
        for file, labels in zip(files, parts, strict=True):
            _check_range(labels, len(self.names), file)
        self.labels = np.concatenate(parts)
        self._starts = np.cumsum([0, *map(len, parts)]).tolist()
        if not len(self.labels):
            raise DataError(f"{path} holds no image (in {len(files)} Parquet files); get it again")
        self._columns = [shard.read_images() for shard in shards]

    def content(self, index: int) -> bytes:
        """The encoded bytes."""
        part = bisect_right(self._starts, index) - 1
        data: bytes = self._columns[part][index - self._starts[part]].as_py()
        return data

    def pixels(self, index: int) -> Pixels:
        """Image ``index``, decoded.

        Raises:
            DataError: the bytes are no image; the message names it.
        """
        return decode(self.content(index), self.where(index))

    def where(self, index: int) -> str:
        """The file and the row in it."""
        part = bisect_right(self._starts, index) - 1
        return _place(self._files[part], index - self._starts[part])


@dataclass(frozen=True)
class _Shard:
    """An open Parquet file: its reader (pyarrow's ParquetFile), its two columns, and the names it gives the classes."""

    path: Path
    file: Any
    image: str
    label: str
    names: list[str] | None

    def read_labels(self) -> NDArray[np.int64]:
        column = _or_refuse(self.path, self.file.read, columns=[self.label]).column(0)
        if column.null_count:
            raise DataError(
                f"{self.path}: {column.null_count} of {len(column)} rows have no '{self.label}'; remove these rows"
            )
        return np.asarray(column.to_numpy()).astype(np.int64)

    def read_images(self) -> Any:
        """The images' bytes as a chunked array, one chunk a row group: a chunk of binary data ends at 2 GiB."""
        import pyarrow as arrow
        import pyarrow.compute as compute

        leaf = f"{self.image}.bytes"
        chunks = []
        for group in range(self.file.num_row_groups):
            table = _or_refuse(self.path, self.file.read_row_group, group, columns=[leaf])
            chunks += compute.struct_field(table.column(0), "bytes").chunks
        column = arrow.chunked_array(chunks, self.file.schema_arrow.field(self.image).type.field("bytes").type)
        if column.null_count:
            first = compute.index(compute.is_null(column), True).as_py()
            raise DataError(
                f"{_place(self.path, first)} has no bytes, as {column.null_count - 1} others; save the data set anew "
                "with its images embedded"
            )
        return column


def _place(file: Path, row: int) -> str:
    return f"{file}, row {row} (counted from 0)"


def _open(path: Path) -> _Shard:
    """Read a file's schema, and no data."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as problem:
        raise SetupError(f"reading {path} needs pyarrow: pip install 'facekd[parquet]'") from problem
    file = _or_refuse(path, parquet.ParquetFile, path, memory_map=True)
    schema = file.schema_arrow
    image = next((name for name in IMAGES if name in schema.names), None)
    label = next((name for name in LABELS if name in schema.names), None)
    whole = label is not None and arrow.types.is_integer(schema.field(label).type)
    if image is None or label is None or not whole or not _embeds(schema.field(image).type):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise DataError(
            f"{path} has the columns {columns}; an image column ({' or '.join(IMAGES)}: a struct with binary 'bytes') "
            f"and an integer label column ({' or '.join(LABELS)}) are needed; save it in the Hugging Face image layout"
        )
    return _Shard(path, file, image, label, _declared_names(schema.metadata or {}, label, path))


def _embeds(kind: Any) -> bool:
    """Whether a column's type is a struct with the images' bytes in it."""
    import pyarrow as arrow

    if not arrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field("bytes").type
    return bool(arrow.types.is_binary(inner) or arrow.types.is_large_binary(inner))


def _or_refuse(path: Path, read: Any, *given: Any, **options: Any) -> Any:
    """Call one of pyarrow's readers, and say which file it was that it could not read."""
    import pyarrow as arrow

    try:
        return read(*given, **options)
    except (arrow.ArrowException, OSError) as problem:
        reason = str(problem).split("\n")[0].rstrip(". ")
        raise DataError(
            f"{path} cannot be read as Parquet ({reason}); it is damaged, cut short or another kind of file: "
            "get it again from where it came from"
        ) from problem


def _declared_names(metadata: dict[bytes, bytes], label: str, path: Path) -> list[str] | None:
    """The names of the classes in a schema's metadata; None where there are none."""
    try:
        about = json.loads(metadata.get(b"huggingface", b"{}"))
        names = about.get("info", {}).get("features", {}).get(label, {}).get("names")
        if names is None and b"classes" in metadata:
            names = [name.strip() for name in metadata[b"classes"].decode("utf-8").split(",")]
    except (ValueError, AttributeError, RecursionError) as problem:
        raise DataError(f"{path}: the schema's metadata are damaged ({problem}); get the file again") from problem
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError(f"{path}: the names of the classes in the metadata are no list of texts; get the file again")
    return names


def _common_names(shards: Sequence[_Shard]) -> list[str]:
    named = [shard for shard in shards if shard.names is not None]
    for shard in named:
        if shard.names != named[0].names:
            raise DataError(
                f"{named[0].path} and {shard.path} name different classes, so that a label would mean one class here "
                "and another there; keep the files of one data set in a folder"
            )
    if named:
        return list(named[0].names or [])
    highest = max((int(labels.max()) for shard in shards if len(labels := shard.read_labels())), default=-1)
    return [str(label) for label in range(highest + 1)]


def _check_range(labels: NDArray[np.int64], classes: int, file: Path) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        unknown = " (-1 marks images whose class is kept secret: give another split)" if labels[wrong[0]] == -1 else ""
        raise DataError(
            f"{_place(file, int(wrong[0]))} has the label {labels[wrong[0]]}, the classes are 0 to {classes - 1}; "
            f"{len(wrong)} of {len(labels)} images are like this{unknown}; remove them or correct the labels"
        )
