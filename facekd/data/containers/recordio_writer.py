"""Any face set into InsightFace's RecordIO layout, byte for byte as MXNet writes it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio import Header, RecordWriter
from facekd.data.containers.recordio_faces import EXACT
from facekd.data.face_set import FaceSet
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils.files import atomic
from facekd.utils.progress import progress

FILES = ("train.idx", "property", "names.txt", "train.rec")

NAMED = 5
"""Images an error names before it only counts."""

_AHEAD = 512
"""Images read and decoded ahead of the writer, which bounds the memory."""


@dataclass(frozen=True)
class Packed:
    """What `pack` wrote.

    Attributes:
        folder: where the four files lie.
        images: number of images.
        identities: number of identities, each with at least one image.
        size: side of the square images in pixels.
        dropped: identities of the source that had no image; the labels after them moved up.
    """

    folder: Path
    images: int
    identities: int
    size: int
    dropped: int


def pack(source: FaceSet, out: Path) -> Packed:
    """Write ``train.rec``, ``train.idx``, ``property`` and ``names.txt`` into a folder.

    Images are copied as the encoded bytes they are, in the order of their labels; labels become contiguous. Nothing
    appears under its name before all of it is written, the index last: without it the set does not open.

    Args:
        source: aligned square crops of one size.
        out: folder, made if absent.

    Raises:
        DataError: a set lies there already; images that do not decode, are not square or differ in size; a name with
            a line break; too many records. Nothing is written then.
        SetupError: the disk is full.
    """
    refuse_taken(out)
    used, labels = np.unique(source.labels, return_inverse=True)
    names = [source.names[label] for label in used.tolist()]
    _refuse_unwritable(source, names)
    with ExitStack() as renamed:  # unwound backwards: train.rec gets its name first, train.idx last
        index, properties, name_list, records = (renamed.enter_context(atomic(out / name)) for name in FILES)
        size = _write_records(source, labels, records, index)
        name_list.write_bytes("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
        properties.write_bytes(f"{len(names)},{size},{size}".encode("ascii"))
    return Packed(out, len(source), len(names), size, source.identities - len(names))


def refuse_taken(out: Path) -> None:
    """Refuse a folder that `pack` would not write to.

    Raises:
        DataError: it is a file, or holds a packed set already.
    """
    if out.is_file():
        raise DataError(f"{out} is a file; give the folder that the set is to be written to")
    present = [name for name in FILES if (out / name).exists()]
    if present:
        raise DataError(f"{out} already holds {', '.join(present)}; choose another folder or remove them first")


def _refuse_unwritable(source: FaceSet, names: list[str]) -> None:
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise DataError(f"{source.path}: the name {broken[0]!r} holds a line break; rename it")
    records = 1 + len(source) + len(names)
    if records > EXACT:
        needs = f"{source.path} needs {records} records"
        raise DataError(f"{needs}, the format's float32 numbers at most {EXACT} exactly; pack it in several sets")


def _write_records(source: FaceSet, labels: NDArray[np.int64], records: Path, index: Path) -> int:
    """Write header, images and identity records; gives the side of the images."""
    order = np.argsort(labels, kind="stable")
    ends = 1 + np.cumsum(np.bincount(labels))
    images, identities = len(order), len(ends)
    sizes, unreadable, listed = np.zeros((images, 2), np.int32), 0, list[str]()
    with records.open("wb") as record_file, index.open("w", encoding="ascii", newline="\n") as index_file:
        writer = RecordWriter(record_file, index_file)
        writer.write(0, Header(0.0, 0, vector=(images + 1, images + 1 + identities)))
        with progress("pack", images) as advance:
            for key, (place, loaded) in enumerate(zip(order, _load(source, order), strict=True), 1):
                if isinstance(loaded, DataError):
                    unreadable += 1
                    listed += [str(loaded)] if unreadable <= NAMED else []
                else:
                    data, sizes[place] = loaded
                    writer.write(key, Header(float(labels[place]), key), data)
                advance(1, "")
        if unreadable:
            what = f"{unreadable} of {images} images cannot be read"
            raise _refusal(what, listed, unreadable, "Remove or replace them")
        for key, (first, end) in enumerate(pairwise([1, *ends.tolist()]), images + 1):
            writer.write(key, Header(0.0, key, vector=(first, end)))
    return _common_side(source, sizes)


def _load(source: FaceSet, order: NDArray[np.int64]) -> Iterator[tuple[bytes, tuple[int, int]] | DataError]:
    """Encoded bytes with height and width, or what is wrong, image by image; decoded in threads."""

    def load(place: int) -> tuple[bytes, tuple[int, int]] | DataError:
        try:
            data = source.read(place)
            height, width = decode(data, source.where(place)).shape[:2]
        except DataError as problem:
            return problem
        return data, (height, width)

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(order), _AHEAD):
            yield from pool.map(load, order[start : start + _AHEAD].tolist())


def _common_side(source: FaceSet, sizes: NDArray[np.int32]) -> int:
    """The side all images share; the size most of them have is taken as the one that was meant."""
    found, counts = np.unique(sizes, axis=0, return_counts=True)
    height, width = found[counts.argmax()].tolist()
    odd = np.flatnonzero((sizes != [height, width]).any(axis=1) | (sizes[:, 0] != sizes[:, 1]))
    if len(odd):
        listed = [f"{source.where(place)} is {sizes[place, 1]}x{sizes[place, 0]}" for place in odd[:NAMED].tolist()]
        what = f"{len(odd)} of {len(sizes)} images are not square crops of one size (the commonest is {width}x{height})"
        raise _refusal(what, listed, len(odd), "Run 'facekd align' on the photographs first")
    return int(height)


def _refusal(what: str, listed: list[str], count: int, remedy: str) -> DataError:
    more = [f"… and {count - len(listed)} more"] if count > len(listed) else []
    return DataError("\n  - ".join([f"{what}; nothing was written:", *listed, *more]) + f"\n{remedy}, then pack again")
