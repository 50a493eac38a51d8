"""A ``.npy`` that is written a few rows at a time and outlives a kill."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from facekd.data.feature_set import Features
from facekd.errors import DataError, SetupError
from facekd.utils import files
from facekd.utils.progress import console

VERSION = 1
SAVE_EVERY = 5.0
"""Seconds of work that a killed process loses at most."""


class GrowingArray:
    """Grows as ``OUT.npy.partial``; ``OUT.npy.partial.json`` beside it says how many of its rows are safe on the disk.

    As a context manager it keeps what is done, whatever ends the work.

    Args:
        out: the name it gets at the end.
        identity: what its rows depend on, with ``rows``, ``dimension`` and ``dtype``. What lies there and was begun
            with another identity is begun anew, which is said.

    Attributes:
        done: rows that stand.

    Raises:
        SetupError: it cannot be written.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any]) -> None:
        self._out, self._identity = out, dict(identity)
        self._path, self._note = out.with_name(f"{out.name}.partial"), out.with_name(f"{out.name}.partial.json")
        self._dtype = np.dtype(identity["dtype"])
        self._row = self._dtype.itemsize * identity["dimension"]
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {
            "descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False,
            "shape": (identity["rows"], identity["dimension"]),
        })
        with self._writing():
            out.parent.mkdir(parents=True, exist_ok=True)
            self.done = self._rows_standing(head.getvalue())
            self._file = open(self._path, "r+b" if self.done else "wb", buffering=0)  # noqa: SIM115 (closed on exit)
            if not self.done:
                self._write(head.getvalue())
            # What was written after the last note may be damaged.
            self._file.truncate(len(head.getvalue()) + self.done * self._row)
            self._file.seek(0, os.SEEK_END)
        self.save()

    def __enter__(self) -> GrowingArray:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Keep what is done, if anything is; where writing itself failed, the last note stands."""
        try:
            if not isinstance(error, SetupError):
                self.save()
        finally:
            self._file.close()
            if not self.done:
                self._path.unlink()
                self._note.unlink(missing_ok=True)

    def append(self, rows: Features) -> None:
        """Write the next rows, float32 [any, dimension].

        Raises:
            SetupError: the disk is full.
        """
        with self._writing():
            self._write(rows.astype(self._dtype).tobytes())
        self.done += len(rows)
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Bring all rows to the disk and note how many there are."""
        with self._writing():
            os.fsync(self._file.fileno())
        files.write_versioned(self._note, "growing", VERSION, {"identity": self._identity, "done": self.done})
        self._saved = time.monotonic()

    def rename(self) -> None:
        """Give the finished array its name."""
        os.replace(self._path, self._out)
        self._note.unlink()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:  # a file without a buffer may take less than it is given
            left = left[self._file.write(left):]

    def _rows_standing(self, head: bytes) -> int:
        if not self._path.exists():
            return 0
        try:
            note = files.read_versioned(self._note, "growing", VERSION, DataError)
            if note.get("identity") != self._identity or not isinstance(note.get("done"), int):
                raise DataError("another model, other settings or other images were used")
            done = int(note["done"])
            with self._path.open("rb") as handle:
                same = handle.read(len(head)) == head
            size = self._path.stat().st_size
            if not same or not 0 <= done <= self._identity["rows"] or size < len(head) + done * self._row:
                raise DataError("it is damaged")
        except DataError as problem:
            console.print(f"{self._path} is begun anew: {problem}", markup=False, soft_wrap=True)
            return 0
        return done

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise SetupError(
                f"{self._path} cannot be written ({problem.strerror}); free some space or choose another place, "
                "and run the same command again, it continues"
            ) from problem
