"""A face set in an LMDB environment, in one of the two layouts that people use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facekd.data.containers.safe_pickle import loads
from facekd.data.face_set import FaceSet, number_people
from facekd.errors import DataError, SetupError
from facekd.utils.progress import progress

_KEYS, _LENGTH = b"__keys__", b"__len__"
T = TypeVar("T")


def find_environment(path: Path) -> Path | None:
    """The environment a path means: a folder with ``data.mdb``, or a single file ``.mdb`` or ``.lmdb``; else None."""
    if path.is_dir():
        return path if (path / "data.mdb").is_file() else None
    return path if path.suffix in (".mdb", ".lmdb") else None


class LmdbFaces(FaceSet):
    """Images in LMDB, in the layout of ``folder2lmdb`` or as an image folder's files by their paths.

    * ``folder2lmdb`` (Efficient-PyTorch and its many copies): ``__keys__`` holds a pickled list of keys, each value is
      a pickled ``(encoded image, label)``. The pickles are read without trusting them, each once on opening for its
      label. Values by ``pyarrow.serialize``, which pyarrow has given up, or msgpack are refused.
    * Keys ``PERSON/IMAGE``, values the encoded images; a person's name is what stands before the first ``/``. Order
      and names are those of the same files in a folder.

    LMDB itself trusts what it maps into memory: a file that somebody made on purpose can crash it.

    Raises:
        DataError: no environment, one that is cut short, or another layout.
        SetupError: the package lmdb is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import lmdb
        except ImportError as problem:
            raise SetupError(f"reading {path} needs lmdb: pip install 'facekd[lmdb]'") from problem
        self.path, self._errors = path, lmdb.Error
        self._environment: Any = self._or_refuse(
            lambda: lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, create=False)
        )
        self._check_length(path / "data.mdb" if path.is_dir() else path)
        listed = self._get(_KEYS)
        self._pickled = listed is not None
        if listed is None:
            self._open_paths()
        else:
            self._open_pickles(listed)

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``.

        Raises:
            DataError: the record is gone or damaged.
        """
        if self._pickled:
            return self._entry(index)[0]
        return self._value(index)

    def where(self, index: int) -> str:
        """The environment and the key."""
        return f"{self.path} key {self.name(index)}"

    def name(self, index: int) -> str:
        """The key."""
        key: bytes = self._keys[index]
        return key.decode("utf-8", "surrogateescape")

    def _open_paths(self) -> None:
        with self._or_refuse(self._environment.begin) as reading:
            keys = self._or_refuse(lambda: list(reading.cursor().iternext(values=False)))
        strange = next((key for key in keys if b"/" not in key), None)
        if not keys or strange is not None:
            has = f"the key {strange[:40]!r}" if strange is not None else "no key"
            raise DataError(
                f"{self.path} has {has}: neither the layout of folder2lmdb (__keys__, pickled images and labels) nor "
                "keys PERSON/IMAGE with encoded images; write it anew in one of them"
            )
        self._keys = sorted(keys, key=lambda key: key.split(b"/"))
        people = [key.partition(b"/")[0] for key in self._keys]
        number = {person: label for label, person in enumerate(sorted(set(people)))}
        self.labels = np.array([number[person] for person in people], np.int64)
        self.names = [person.decode("utf-8", "surrogateescape") for person in number]

    def _open_pickles(self, listed: bytes) -> None:
        keys = self._unpickled(listed, f"{self.path} key __keys__")
        if not isinstance(keys, list) or not keys or not all(isinstance(key, bytes) for key in keys):
            raise DataError(f"{self.path}: __keys__ is no list of keys; write it anew with folder2lmdb")
        self._keys = keys
        self.labels = np.empty(len(keys), np.int64)
        with progress("read labels", len(keys)) as advance:
            for index in range(len(keys)):
                self.labels[index] = self._entry(index)[1]
                advance(1, "")
        self.names = number_people(self)

    def _entry(self, index: int) -> tuple[bytes, int]:
        """Image and label of a pickled value; its writers wrap either in a list, a tuple or an array of one."""
        match self._unpickled(self._value(index), self.where(index)):
            case (image, label):
                image = image[0] if isinstance(image, (list, tuple)) and len(image) == 1 else image
                label = label.item() if isinstance(label, np.ndarray) and label.size == 1 else label
                label = label[0] if isinstance(label, (list, tuple)) and len(label) == 1 else label
                if isinstance(image, bytes) and type(label) is int and abs(label) < 2**62:
                    return image, label
        raise DataError(f"{self.where(index)} is no pickled pair of an encoded image and a label; write it anew")

    def _unpickled(self, value: bytes, where: str) -> Any:
        if not value.startswith(b"\x80"):
            raise DataError(
                f"{where} is no pickle (of protocol 2 or later) but, as it seems, written by pyarrow.serialize or "
                "msgpack; write the set anew with pickle, or from the images with 'facekd pack'"
            )
        return loads(value, where)

    def _value(self, index: int) -> bytes:
        value = self._get(self._keys[index])
        if value is None:
            raise DataError(f"{self.where(index)} is not there, though it is listed; write the set anew")
        return value

    def _get(self, key: bytes) -> bytes | None:
        with self._or_refuse(self._environment.begin) as reading:
            found: bytes | None = self._or_refuse(lambda: reading.get(key))
        return found

    def _check_length(self, file: Path) -> None:
        """What is missing at the end would kill the process when it is touched."""
        needed = (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]
        if file.stat().st_size < needed:
            raise DataError(f"{file} is cut short: {file.stat().st_size} bytes, {needed} are needed; copy it again")

    def _or_refuse(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except self._errors as problem:
            raise DataError(
                f"{self.path} cannot be read as LMDB ({problem}); it is damaged or another kind of file: copy it again"
            ) from problem
