"""A face set in WebDataset shards: tar files with an image ``KEY.jpg`` and its label in ``KEY.cls`` or ``KEY.json``."""

from __future__ import annotations

import json
import os
import tarfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.image_folder import EXTENSIONS
from facekd.data.face_set import FaceSet, number_identities
from facekd.errors import DataError
from facekd.utils.progress import progress_bar

_BLOCK = tarfile.BLOCKSIZE
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
        DataError: a shard is not a tar file, is damaged or cut short; or a sample has no image or label, or several
            images.
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
        with self._shard(index).open("rb") as file:
            file.seek(int(self._header_offsets[index]))
            with tarfile.TarFile(fileobj=file) as tar:
                member = tar.next()
        return f"{self._shard(index)} member {member.name if member else self._header_offsets[index]}"

    def _shard(self, index: int) -> Path:
        return self._shards[bisect_right(self._starts, index) - 1]


def _index(shard: Path) -> NDArray[np.int64]:
    """Return the header offset, data offset, size and label of each image of a shard: int64 [images, 4]."""
    try:
        with tarfile.open(shard, "r:") as tar:
            rows = array("q")
            for key, members in groupby(_members(tar), _sample_key):
                rows.extend(_index_sample(tar, shard, key, list(members)))
            _check_end(tar, shard)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{shard} cannot be read as a tar file ({error}); it is damaged, cut short or compressed: get it again, "
            "or unpack it with gunzip"
        ) from error
    return np.frombuffer(rows, np.int64).reshape(-1, 4)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # TarFile would otherwise keep all members in memory
        if member.isfile():
            yield member


def _sample_key(member: tarfile.TarInfo) -> str:
    folder, slash, file = member.name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _index_sample(
    tar: tarfile.TarFile, shard: Path, key: str, members: list[tarfile.TarInfo]
) -> tuple[int, int, int, int]:
    """Return the header offset, data offset, size and label of one image."""
    by_extension = {member.name[len(key) :].lower(): member for member in members}
    images = [member for extension, member in by_extension.items() if extension in EXTENSIONS]
    if len(images) != 1 or len(by_extension) < len(members):
        names = ", ".join(member.name for member in members[:5])
        raise DataError(
            f"{shard} holds {len(images)} images under the key {key!r} (members: {names}); one is needed, with the "
            f"extension {', '.join(sorted(EXTENSIONS))}: write the shard again, its keys each once"
        )
    return images[0].offset, images[0].offset_data, images[0].size, _read_label(tar, shard, key, by_extension)


def _read_label(tar: tarfile.TarFile, shard: Path, key: str, members: dict[str, tarfile.TarInfo]) -> int:
    member = members.get(".cls") or members.get(".json")
    if member is None:
        raise DataError(f"{shard}: {key!r} has no label ({key}.cls or {key}.json); write the shard again with labels")
    file = tar.extractfile(member)
    text = file.read(_MAX_LABEL_BYTES) if file else b""
    value: Any = None
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        value = int(text) if member.name.endswith(".cls") else json.loads(text)["label"]
    if type(value) is not int or not 0 <= value < 2**62:
        needed = "a number" if member.name.endswith(".cls") else 'an object {"label": number}'
        raise DataError(
            f"{shard}: {member.name} holds {text[:40]!r}, {needed} is needed (0, 1, 2, ...); write it again"
        )
    return value


def _check_end(tar: tarfile.TarFile, shard: Path) -> None:
    """Check that the archive is complete: it ends with a block of zeros, but tarfile also stops at a damaged header."""
    if tar.fileobj is None:
        return
    end = tar.offset
    tar.fileobj.seek(end)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise DataError(
            f"{shard} is damaged or cut short at byte {end}: there is neither a member nor an end mark; get it again"
        )
