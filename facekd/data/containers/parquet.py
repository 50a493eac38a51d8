"""Parquet in the Hugging Face image layout: a column of encoded images and a column of labels."""

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

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
"""Names of the columns, in the order in which they are looked for."""


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
        self._columns = [shard.read_images() for shard in shards]

    def stored_bytes(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``."""
        shard = bisect_right(self._starts, index) - 1
        data: bytes = self._columns[shard][index - self._starts[shard]].as_py()
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
        column = _call(self.path, self.file.read, columns=[self.label]).column(0)
        if column.null_count:
            raise DataError(
                f"{self.path}: {column.null_count} of {len(column)} rows have no '{self.label}'; remove these rows"
            )
        return np.asarray(column.to_numpy()).astype(np.int64)

    def read_images(self) -> Any:
        """Return the images' bytes as a chunked array with one chunk per row group.

        A chunk of binary data cannot exceed 2 GiB, so the row groups are not joined.
        """
        import pyarrow as arrow
        import pyarrow.compute as compute

        leaf = f"{self.image}.bytes"
        chunks = []
        for group in range(self.file.num_row_groups):
            table = _call(self.path, self.file.read_row_group, group, columns=[leaf])
            chunks += compute.struct_field(table.column(0), "bytes").chunks
        column = arrow.chunked_array(chunks, self.file.schema_arrow.field(self.image).type.field("bytes").type)
        if column.null_count:
            first = compute.index(compute.is_null(column), True).as_py()
            raise DataError(
                f"{_location(self.path, first)} has no bytes, as {column.null_count - 1} others; save the data set "
                "again with its images embedded"
            )
        return column


def _location(file: Path, row: int) -> str:
    return f"{file}, row {row} (counted from 0)"


def _open(path: Path) -> _Shard:
    """Read the schema of a file, and no data."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise SetupError(f"reading {path} needs pyarrow: pip install 'facekd[parquet]'") from error
    file = _call(path, parquet.ParquetFile, path, memory_map=True)
    schema = file.schema_arrow
    image = next((name for name in IMAGE_COLUMNS if name in schema.names), None)
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    is_integer = label is not None and arrow.types.is_integer(schema.field(label).type)
    if image is None or label is None or not is_integer or not _embeds_images(schema.field(image).type):
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        image_names = " or ".join(IMAGE_COLUMNS)
        label_names = " or ".join(LABEL_COLUMNS)
        raise DataError(
            f"{path} has the columns {columns}; an image column ({image_names}: a struct with binary 'bytes') and an "
            f"integer label column ({label_names}) are needed; save it in the Hugging Face image layout"
        )
    return _Shard(path, file, image, label, _declared_names(schema.metadata or {}, label, path))


def _embeds_images(kind: Any) -> bool:
    """Return whether the type of a column is a struct that contains the images' bytes."""
    import pyarrow as arrow

    if not arrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    inner = kind.field("bytes").type
    return bool(arrow.types.is_binary(inner) or arrow.types.is_large_binary(inner))


def _call(path: Path, read: Any, *arguments: Any, **options: Any) -> Any:
    """Call a reader of pyarrow, and convert its error to a DataError that names the file."""
    import pyarrow as arrow

    try:
        return read(*arguments, **options)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0].rstrip(". ")
        raise DataError(
            f"{path} cannot be read as Parquet ({reason}); it is damaged, cut short or another kind of file: "
            "get it again from where it came from"
        ) from error


def _declared_names(metadata: dict[bytes, bytes], label: str, path: Path) -> list[str] | None:
    """Return the names of the classes in the metadata of a schema; None if there are none."""
    try:
        about = json.loads(metadata.get(b"huggingface", b"{}"))
        names = about.get("info", {}).get("features", {}).get(label, {}).get("names")
        if names is None and b"classes" in metadata:
            names = [name.strip() for name in metadata[b"classes"].decode("utf-8").split(",")]
    except (ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: the schema's metadata are damaged ({error}); get the file again") from error
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError(f"{path}: the names of the classes in the metadata are no list of texts; get the file again")
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
