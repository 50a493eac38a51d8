"""Pack a face set into InsightFace's RecordIO layout, byte for byte as MXNet writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio_faces import MAX_EXACT_FLOAT32
from facekd.data.containers.recordio_format import RecordHeader, RecordWriter
from facekd.data.face_set import FaceSet
from facekd.data.image_set import ImageLocation
from facekd.data.problems import MAX_NAMED, join_first
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.io.files import atomic_write
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.text import path_text, short_repr, shorten
from facekd.utils.progress import progress_bar

FILES = ("train.idx", "property", "names.txt", "train.rec")

_BLOCK = 512
"""Number of images that are read and decoded before they are written, which bounds the memory."""


@dataclass(frozen=True)
class PackSummary:
    """The result of `pack`.

    Attributes:
        folder: the folder of the four files.
        images: the number of images.
        identities: the number of identities; each has at least one image. 0 for a set without labels.
        size: the side of the square images in pixels.
        dropped: the number of identities of the source without an image; the labels after them are renumbered.
    """

    folder: Path
    images: int
    identities: int
    size: int
    dropped: int


def pack(source: FaceSet, out: Path) -> PackSummary:
    """Write ``train.rec``, ``train.idx``, ``property`` and ``names.txt`` into a folder.

    Images are copied in the order of their labels, as encoded bytes; labels become contiguous. Files get their final
    names only when all are complete, the index last: without it the set does not open.

    Args:
        source: aligned square crops of one size.
        out: the folder; it is created if absent.

    Raises:
        DataError: the folder already contains a set, or is that of the source; images do not decode, are not square or
            differ in size; a name contains a line break; or there are too many records. Nothing is written then.
        SetupError: the set cannot be written, or another process writes it.
    """
    refuse_source(source, out)
    refuse_existing_set(out)
    used, labels = np.unique(source.labels, return_inverse=True)
    names = [source.class_names[label] for label in used.tolist()]
    _refuse_unwritable(source, names)
    with lock_output(out), ExitStack() as renames:
        refuse_existing_set(out)  # another process may have written it since
        # The stack is unwound in reverse order: train.rec is renamed first, train.idx last.
        index, properties, name_list, records = (renames.enter_context(atomic_write(out / name)) for name in FILES)
        size = _write_records(source, labels, records, index)
        name_list.write_bytes("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
        properties.write_bytes(f"{len(names)},{size},{size}".encode("ascii"))
    identities = len(names) if source.is_labeled else 0
    return PackSummary(out, len(source), identities, size, source.num_identities - len(names))


def refuse_existing_set(out: Path) -> None:
    """Refuse a folder to which `pack` would not write.

    Raises:
        DataError: the path is a file, or the folder already contains a packed set.
        SetupError: the folder cannot be written.
    """
    if os.path.isfile(out):
        raise DataError(f"{path_text(out)} is a file; give the folder that the set is to be written to")
    present = [name for name in FILES if os.path.exists(out / name)]
    if present and "train.idx" not in present:
        raise DataError(f"{path_text(out)} holds {', '.join(present)} of a set that was not completed (train.idx is "
                        "missing); remove them and run the same command again")
    if present:
        raise DataError(f"{path_text(out)} already holds {', '.join(present)}; choose another folder or remove them "
                        "first")
    check_writable(out, folder=True)


def refuse_source(source: FaceSet, out: Path) -> None:
    """Refuse an output that is the folder of the source or lies in it, where it would become part of the source.

    Raises:
        DataError: it is.
    """
    if out.resolve().is_relative_to(source.path.resolve()):
        raise DataError(f"{path_text(out)} is the folder of the set itself or lies in it; give a folder apart from it")


def _refuse_unwritable(source: FaceSet, names: list[str]) -> None:
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise DataError(f"{path_text(source.path)}: the name {short_repr(broken[0])} holds a line break; rename it")
    records = 1 + len(source) + len(names)
    if records > MAX_EXACT_FLOAT32:
        needs = f"{path_text(source.path)} needs {records} records"
        limit = f"the format's float32 numbers at most {MAX_EXACT_FLOAT32} exactly"
        raise DataError(f"{needs}, {limit}; pack it in several sets")


def _write_records(source: FaceSet, labels: NDArray[np.int64], records: Path, index: Path) -> int:
    """Write the header record, the images and the identity records; return the side of the images."""
    order = np.argsort(labels, kind="stable")
    ends = 1 + np.cumsum(np.bincount(labels))
    images = len(order)
    identities = len(ends)
    sizes = np.zeros((images, 2), np.int32)
    unreadable = 0
    problems: list[str] = []
    with records.open("wb") as record_file, index.open("w", encoding="ascii", newline="\n") as index_file:
        writer = RecordWriter(record_file, index_file)
        writer.write(0, RecordHeader(0.0, 0, vector=(images + 1, images + 1 + identities)))
        with progress_bar("pack", images) as advance:
            for key, (source_index, loaded) in enumerate(zip(order, _load(source, order), strict=True), 1):
                if isinstance(loaded, DataError):
                    unreadable += 1
                    if unreadable <= MAX_NAMED:
                        problems.append(source.location(int(source_index)))
                else:
                    data, sizes[source_index] = loaded
                    writer.write(key, RecordHeader(float(labels[source_index]), key), data)
                advance(1, "")
        if unreadable:
            message = f"{unreadable} of {images} images cannot be read"
            raise _refusal(message, problems, unreadable, "see why by 'facekd doctor', remove or replace them")
        for key, (first, end) in enumerate(pairwise([1, *ends.tolist()]), images + 1):
            writer.write(key, RecordHeader(0.0, key, vector=(first, end)))
    return _common_side(source, sizes)


def _load(source: FaceSet, order: NDArray[np.int64]) -> Iterator[tuple[bytes, tuple[int, int]] | DataError]:
    """Yield for each image its encoded bytes, height and width, or its error; images are decoded in threads."""

    def load(index: int) -> tuple[bytes, tuple[int, int]] | DataError:
        """Load one image."""
        try:
            data = source.read(index)
            height, width = decode(data, ImageLocation(source, index)).shape[:2]
        except DataError as error:
            return error
        return data, (height, width)

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(order), _BLOCK):
            yield from pool.map(load, order[start : start + _BLOCK].tolist())


def _common_side(source: FaceSet, sizes: NDArray[np.int32]) -> int:
    """Return the side that all images have; the most frequent size is taken as the intended one."""
    distinct, counts = np.unique(sizes, axis=0, return_counts=True)
    height, width = distinct[counts.argmax()].tolist()
    odd = np.flatnonzero((sizes != [height, width]).any(axis=1) | (sizes[:, 0] != sizes[:, 1]))
    if len(odd):
        problems = [f"{shorten(source.location(i), 60)} is {sizes[i, 1]}x{sizes[i, 0]}"
                    for i in odd[:MAX_NAMED].tolist()]
        common = f"the most frequent is {width}x{height}"
        message = f"{len(odd)} of {len(sizes)} images are not square crops of one size ({common})"
        raise _refusal(message, problems, len(odd), "run 'facekd align' on the photographs first")
    return int(height)


def _refusal(message: str, problems: list[str], count: int, remedy: str) -> DataError:
    return DataError(f"{message}, nothing was written: {join_first(problems, count)}; {remedy}, then pack again")
