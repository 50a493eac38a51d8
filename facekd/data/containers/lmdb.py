"""A face set in an LMDB environment, in one of two common layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facekd.data.containers.safe_pickle import loads
from facekd.data.face_set import FaceSet, number_identities
from facekd.errors import DataError, SetupError
from facekd.text import path_text, shorten
from facekd.utils.progress import progress_bar

_KEY_LIST = b"__keys__"
T = TypeVar("T")


def find_environment(path: Path) -> Path | None:
    """Return the path if it is an environment: a folder with ``data.mdb``, or a file ``.mdb`` or ``.lmdb``; or None."""
    if path.is_dir():
        return path if (path / "data.mdb").is_file() else None
    return path if path.suffix in (".mdb", ".lmdb") else None


class LmdbFaces(FaceSet):
    """Images in LMDB, in the layout of ``folder2lmdb`` or with the paths of an image folder as keys.

    * ``folder2lmdb`` (Efficient-PyTorch and its many copies): ``__keys__`` is a pickled list of keys, and each value is
      a pickled ``(encoded image, label)``. The pickles are read safely; each is read once on opening for its label.
      Values written by ``pyarrow.serialize``, which pyarrow has removed, or by msgpack are refused.
    * Keys ``PERSON/IMAGE``, values the encoded images. The name of a person is the key up to the first ``/``. Order and
      names are those of the same files in a folder.

    LMDB trusts the file that it maps into memory: a damaged or maliciously crafted file can crash the process. A file
    that is cut short at its end is detected.

    Args:
        path: the environment.

    Raises:
        DataError: the path is not an environment, is cut short, or has another layout.
        SetupError: the package lmdb is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise SetupError(f"reading {path} needs lmdb: pip install 'facekd[lmdb]'") from error
        self.path = path
        self._error_type = lmdb.Error
        options = {"readonly": True, "lock": False, "readahead": False, "create": False}
        # lmdb encodes no path that is not UTF-8, so it is given as bytes.
        self._environment: Any = self._call(lambda: lmdb.open(os.fsencode(path), subdir=path.is_dir(), **options))
        self._check_length(path / "data.mdb" if path.is_dir() else path)
        key_list = self._get(_KEY_LIST)
        self._pickled = key_list is not None
        if key_list is None:
            self._open_paths()
        else:
            self._open_pickles(key_list)

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``.

        Raises:
            DataError: the record is missing or damaged.
        """
        if self._pickled:
            return self._entry(index)[0]
        return self._value(index)

    def location(self, index: int) -> str:
        """Return the environment and the key."""
        return f"{self.path} key {self.image_name(index)}"

    def image_name(self, index: int) -> str:
        """Return the key."""
        key: bytes = self._keys[index]
        return key.decode("utf-8", "surrogateescape")

    def _open_paths(self) -> None:
        with self._call(self._environment.begin) as transaction:
            keys = self._call(lambda: list(transaction.cursor().iternext(values=False)))
        invalid = next((key for key in keys if b"/" not in key), None)
        if not keys or invalid is not None:
            content = f"the key {invalid[:40]!r}" if invalid is not None else "no key"
            raise DataError(
                f"{path_text(self.path)} has {content}: neither the layout of folder2lmdb (__keys__, pickled images "
                "and labels) nor keys PERSON/IMAGE with encoded images; write it again in one of them"
            )
        self._keys = sorted(keys, key=lambda key: key.split(b"/"))  # the order of files in a folder, not of LMDB's keys
        people = [key.partition(b"/")[0] for key in self._keys]
        label_of = {person: label for label, person in enumerate(sorted(set(people)))}
        self.labels = np.array([label_of[person] for person in people], np.int64)
        self.class_names = [person.decode("utf-8", "surrogateescape") for person in label_of]

    def _open_pickles(self, key_list: bytes) -> None:
        keys = self._unpickle(key_list, f"{self.path} key __keys__")
        if not isinstance(keys, list) or not keys or not all(isinstance(key, bytes) for key in keys):
            raise DataError(f"{self.path}: __keys__ is no list of keys; write it again with folder2lmdb")
        self._keys = keys
        self.labels = np.empty(len(keys), np.int64)
        with progress_bar("read labels", len(keys)) as advance:
            for index in range(len(keys)):
                self.labels[index] = self._entry(index)[1]
                advance(1, "")
        self.class_names = number_identities(self)

    def _entry(self, index: int) -> tuple[bytes, int]:
        """Return image and label of a pickled value; some writers wrap either in a list, a tuple or an array of one."""
        match self._unpickle(self._value(index), self.location(index)):
            case (image, label):
                image = image[0] if isinstance(image, (list, tuple)) and len(image) == 1 else image
                label = label.item() if isinstance(label, np.ndarray) and label.size == 1 else label
                label = label[0] if isinstance(label, (list, tuple)) and len(label) == 1 else label
                if isinstance(image, bytes) and type(label) is int and abs(label) < 2**62:
                    return image, label
        raise DataError(f"{self.location(index)} is no pickled pair of an encoded image and a label; write it again")

    def _unpickle(self, value: bytes, location: str) -> Any:
        if not value.startswith(b"\x80"):
            raise DataError(
                f"{location} is no pickle (of protocol 2 or later) but, as it seems, written by pyarrow.serialize or "
                "msgpack; write the set again with pickle, or from the images with 'facekd pack'"
            )
        return loads(value, location)

    def _value(self, index: int) -> bytes:
        value = self._get(self._keys[index])
        if value is None:
            raise DataError(f"{self.location(index)} is missing, though it is listed; write the set again")
        return value

    def _get(self, key: bytes) -> bytes | None:
        with self._call(self._environment.begin) as transaction:
            value: bytes | None = self._call(lambda: transaction.get(key))
        return value

    def _check_length(self, file: Path) -> None:
        """Refuse a truncated file: access to a missing page of the memory map would kill the process."""
        needed = (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]
        if file.stat().st_size < needed:
            raise DataError(f"{file} is cut short: {file.stat().st_size} bytes, {needed} are needed; copy it again")

    def _call(self, function: Callable[[], T]) -> T:
        """Call a function of lmdb, and convert its error to a DataError."""
        try:
            return function()
        except self._error_type as error:
            raise DataError(
                f"{path_text(self.path)} cannot be read as LMDB ({shorten(error)}); it is damaged or another kind of "
                "file: copy it again"
            ) from error
