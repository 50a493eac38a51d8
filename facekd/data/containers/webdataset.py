"""A face set in WebDataset shards: tar files with an image ``KEY.jpg`` and its label in ``KEY.cls`` or ``KEY.json``."""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.image_folder import EXTENSIONS
from facekd.data.containers.tar_members import TarMember, read_members
from facekd.data.face_set import FaceSet, number_identities
from facekd.errors import DataError
from facekd.io.reading import parse_whole_number, reading
from facekd.text import path_text, short_repr, shorten
from facekd.utils.progress import progress_bar

_MAX_LABEL_BYTES = 1 << 20


def find_shards(path: Path) -> list[Path]:
    """Return the path itself if it is a ``.tar``, or the ``.tar`` files of a folder, sorted by name."""
    if path.suffix == ".tar" and path.is_file():
        return [path]
    return sorted(path.glob("*.tar")) if path.is_dir() else []


class ShardFaces(FaceSet):
    """Images in tar shards, each next to its label, as WebDataset's writers arrange them.

    The members of a sample are adjacent, and their paths are equal up to the first dot of the file name. ``KEY.cls``
    contains the label as a number; without it, ``KEY.json`` contains it under ``label``. All tar headers are read once
    on opening. Images are then read directly from their offsets, so shards must not be compressed.

    Args:
        path: the path that the user gave: the shard, or the folder of the shards.
        shards: the shards, in order.

    Raises:
        DataError: a shard is not a tar file, is damaged, cut short or holds sparse members; or a sample has no image or
            label, or several images.
    """

    def __init__(self, path: Path, shards: Sequence[Path]) -> None:
        self.path = path
        self._shards = list(shards)
        tables = []
        with progress_bar("index", len(shards), "shard") as advance:
            for shard in shards:
                tables.append(_index(shard))
                advance(1, shard.name)
        self._starts = np.cumsum([0, *map(len, tables)]).tolist()
        columns = np.ascontiguousarray(np.concatenate(tables).T)
        self._header_offsets, self._data_offsets, self._sizes, self.labels = columns
        if not len(self.labels):
            raise DataError(f"{path} holds no image (in {len(shards)} tar files); get it again")
        self.class_names = number_identities(self)

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``.

        Raises:
            DataError: the shard cannot be read, or has become shorter.
        """
        size = int(self._sizes[index])
        try:
            with self._shard(index).open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), size, int(self._data_offsets[index]))
        except OSError as error:
            raise DataError(f"{self._shard(index)} cannot be read ({error.strerror}); restore it") from error
        if len(data) < size:
            raise DataError(f"{self._shard(index)} has become shorter since it was opened; restore it")
        return data

    def location(self, index: int) -> str:
        """Return the shard, and the name of the member in it."""
        shard = self._shard(index)
        offset = int(self._header_offsets[index])
        with suppress(DataError, OSError), shard.open("rb") as file:
            for member in read_members(file, shard, offset):
                return f"{shard} member {member.name}"
        return f"{shard} member at byte {offset}"

    def _shard(self, index: int) -> Path:
        return self._shards[bisect_right(self._starts, index) - 1]


def _index(shard: Path) -> NDArray[np.int64]:
    """Return the header offset, data offset, size and label of each image of a shard: int64 [images, 4]."""
    rows = array("q")
    with reading(shard), shard.open("rb") as headers, shard.open("rb") as contents:
        members = filter(lambda member: member.is_file, read_members(headers, shard))
        for key, samples in groupby(members, _sample_key):
            rows.extend(_index_sample(contents, shard, key, list(samples)))
    return np.frombuffer(rows, np.int64).reshape(-1, 4)


def _sample_key(member: TarMember) -> str:
    folder, slash, file = member.name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _index_sample(contents: BinaryIO, shard: Path, key: str, members: list[TarMember]) -> tuple[int, int, int, int]:
    """Return the header offset, data offset, size and label of one image."""
    by_extension = {member.name[len(key) :].lower(): member for member in members}
    images = [member for extension, member in by_extension.items() if extension in EXTENSIONS]
    if len(images) != 1 or len(by_extension) < len(members):
        names = ", ".join(shorten(member.name, 40) for member in members[:3])
        raise DataError(
            f"{path_text(shard)} holds {len(images)} images under the key {short_repr(key)} (members: {names}); one is "
            f"needed, with the extension {', '.join(sorted(EXTENSIONS))}: write the shard again, its keys each once"
        )
    image = images[0]
    return image.offset, image.data_offset, image.size, _read_label(contents, shard, key, by_extension)


def _read_label(contents: BinaryIO, shard: Path, key: str, members: dict[str, TarMember]) -> int:
    member = members.get(".cls") or members.get(".json")
    if member is None:
        short_key = shorten(key, 60)
        raise DataError(f"{path_text(shard)}: {short_key!r} has no label ({short_key}.cls or {short_key}.json); write "
                        "the shard again with labels")
    contents.seek(member.data_offset)
    text = contents.read(min(member.size, _MAX_LABEL_BYTES))
    value: Any = None
    if ".cls" in members:
        value = parse_whole_number(text.decode("latin-1").strip())
    else:
        with suppress(ValueError, LookupError, TypeError, RecursionError):
            value = json.loads(text)["label"]  # the other values are of no interest, so NaN or many digits do no harm
    if type(value) is not int or not 0 <= value < 2**62:
        needed = "a number" if ".cls" in members else 'an object {"label": number}'
        raise DataError(
            f"{path_text(shard)}: {shorten(member.name)} holds {short_repr(text[:40])}, {needed} is needed (0, 1, 2, "
            "...); write it again"
        )
    return value
