"""A face set in WebDataset shards: tar files with ``KEY.jpg`` and its label in ``KEY.cls`` or ``KEY.json``."""

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
from facekd.data.face_set import FaceSet, number_people
from facekd.errors import DataError
from facekd.utils.progress import progress

_BLOCK = tarfile.BLOCKSIZE
_LONGEST_LABEL = 1 << 20


def find_shards(path: Path) -> list[Path]:
    """The shards a path means: itself, or the ``.tar`` files of a folder, in order of their names."""
    if path.suffix == ".tar" and path.is_file():
        return [path]
    return sorted(path.glob("*.tar")) if path.is_dir() else []


class ShardFaces(FaceSet):
    """Images from tar shards, each beside its label, as WebDataset's writers lay them out.

    The members of a sample follow each other and share their path up to the first dot of the file's name; ``KEY.cls``
    holds the label as a number, else ``KEY.json`` under ``label``. All headers are read once, on opening; an image is
    then read where it lies, so shards must not be compressed.

    Args:
        path: what a person gave: the shard, or the folder of the shards.
        shards: the shards, in order.

    Raises:
        DataError: a shard that is no tar file, is damaged or cut short; a sample without an image or a label, or with
            several of one.
    """

    def __init__(self, path: Path, shards: Sequence[Path]) -> None:
        self.path, self._shards = path, list(shards)
        parts = []
        with progress("index", len(shards), "shard") as advance:
            for shard in shards:
                parts.append(_index(shard))
                advance(1, shard.name)
        self._starts = np.cumsum([0, *map(len, parts)]).tolist()
        self._header, self._data, self._size, self.labels = np.ascontiguousarray(np.concatenate(parts).T)
        if not len(self.labels):
            raise DataError(f"{path} holds no image (in {len(shards)} tar files); get it again")
        self.names = number_people(self)

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``.

        Raises:
            DataError: the shard cannot be read, or is shorter than it was.
        """
        size = int(self._size[index])
        try:
            with self._shard(index).open("rb", buffering=0) as handle:
                data = os.pread(handle.fileno(), size, int(self._data[index]))
        except OSError as problem:
            raise DataError(f"{self._shard(index)} cannot be read ({problem.strerror}); restore it") from problem
        if len(data) < size:
            raise DataError(f"{self._shard(index)} has become shorter since it was opened; restore it")
        return data

    def where(self, index: int) -> str:
        """The shard and the member's name in it."""
        with self._shard(index).open("rb") as handle:
            handle.seek(int(self._header[index]))
            with tarfile.TarFile(fileobj=handle) as tar:
                member = tar.next()
        return f"{self._shard(index)} member {member.name if member else self._header[index]}"

    def _shard(self, index: int) -> Path:
        return self._shards[bisect_right(self._starts, index) - 1]


def _index(shard: Path) -> NDArray[np.int64]:
    """Where each image of a shard lies, and its label: int64 [images, 4], header, data, size, label."""
    try:
        with tarfile.open(shard, "r:") as tar:
            rows = array("q")
            for key, members in groupby(_members(tar), _key):
                rows.extend(_sample(tar, shard, key, list(members)))
            _check_end(tar, shard)
    except (tarfile.TarError, OSError) as problem:
        raise DataError(
            f"{shard} cannot be read as a tar file ({problem}); it is damaged, cut short or compressed: get it again, "
            "or unpack it with gunzip"
        ) from problem
    return np.frombuffer(rows, np.int64).reshape(-1, 4)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        if member.isfile():
            yield member


def _key(member: tarfile.TarInfo) -> str:
    folder, slash, file = member.name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _sample(tar: tarfile.TarFile, shard: Path, key: str, members: list[tarfile.TarInfo]) -> tuple[int, int, int, int]:
    """An image and its label."""
    by_ending = {member.name[len(key) :].lower(): member for member in members}
    images = [by_ending[ending] for ending in by_ending if ending in EXTENSIONS]
    if len(images) != 1 or len(by_ending) < len(members):
        names = ", ".join(member.name for member in members[:5])
        raise DataError(
            f"{shard} holds {len(images)} images under the key {key!r} (members: {names}); one is needed, ending in "
            f"{', '.join(sorted(EXTENSIONS))}: write the shard anew, its keys each once"
        )
    return images[0].offset, images[0].offset_data, images[0].size, _label(tar, shard, key, by_ending)


def _label(tar: tarfile.TarFile, shard: Path, key: str, members: dict[str, tarfile.TarInfo]) -> int:
    member = members.get(".cls") or members.get(".json")
    if member is None:
        raise DataError(f"{shard}: {key!r} has no label ({key}.cls or {key}.json); write the shard anew with labels")
    handle = tar.extractfile(member)
    text = handle.read(_LONGEST_LABEL) if handle else b""
    value: Any = None
    with suppress(ValueError, LookupError, TypeError, RecursionError):
        value = int(text) if member.name.endswith(".cls") else json.loads(text)["label"]
    if type(value) is not int or not 0 <= value < 2**62:
        needed = "a number" if member.name.endswith(".cls") else 'an object {"label": number}'
        raise DataError(f"{shard}: {member.name} holds {text[:40]!r}, {needed} is needed (0, 1, 2, ...); write it anew")
    return value


def _check_end(tar: tarfile.TarFile, shard: Path) -> None:
    """Python's reader takes a damaged header for the end; a whole archive ends with a block of zeros."""
    if tar.fileobj is None:
        return
    end = tar.offset
    tar.fileobj.seek(end)
    if tar.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise DataError(f"{shard} is damaged or cut short at byte {end}: no member and no end is there; get it again")
