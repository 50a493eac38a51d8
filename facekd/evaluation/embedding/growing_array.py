"""A ``.npy`` file that is written a few rows at a time and survives a kill."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from facekd.data.feature_set import Features
from facekd.errors import DataError, SetupError
from facekd.io import files
from facekd.io.reading import reading
from facekd.io.writing import writing
from facekd.text import path_text
from facekd.utils.console import console

VERSION = 2
SAVE_SECONDS = 5.0
"""Largest amount of work, in seconds, that a kill destroys."""


class GrowingArray:
    """Grows as ``OUT.npy.partial``; ``OUT.npy.partial.json`` holds how many of its rows are safely on the disk.

    As a context manager it keeps the rows that were written, whatever ends the work. The caller holds the lock of
    ``OUT.npy``, see `facekd.io.locks`.

    Args:
        out: the file name of the finished array.
        identity: everything the rows depend on, with ``rows``, ``dimension`` and ``dtype``. A partial array with
            another identity is discarded, and a message says so.

    Attributes:
        rows_written: number of rows in the array so far.

    Raises:
        SetupError: the file cannot be written.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any]) -> None:
        self._out = out
        self._identity = dict(identity)
        self._path = out.with_name(f"{out.name}.partial")
        self._note = out.with_name(f"{out.name}.partial.json")
        self._dtype = np.dtype(identity["dtype"])
        self._row_bytes = self._dtype.itemsize * identity["dimension"]
        header = self._npy_header()
        with writing(self._path):
            out.parent.mkdir(parents=True, exist_ok=True)
            self.rows_written = self._count_reusable_rows(header)
            mode = "r+b" if self.rows_written else "wb"
            self._file = open(self._path, mode, buffering=0)  # noqa: SIM115 (closed in __exit__)
            if not self.rows_written:
                self._write(header)
            # Bytes written after the last note may be damaged.
            self._file.truncate(len(header) + self.rows_written * self._row_bytes)
            self._file.seek(0, os.SEEK_END)
        self.save()

    def __enter__(self) -> GrowingArray:
        """Return this array."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Keep the rows written so far; if writing itself failed, those of the last note."""
        try:
            if not isinstance(error, SetupError):
                self.save()
        finally:
            self._file.close()
            if not self.rows_written:
                self._path.unlink(missing_ok=True)
                self._note.unlink(missing_ok=True)

    def append(self, rows: Features) -> None:
        """Write the next rows, float32 [any, dimension].

        Raises:
            SetupError: the file cannot be written.
        """
        with writing(self._path):
            self._write(rows.astype(self._dtype).tobytes())
        self.rows_written += len(rows)
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Flush all rows to the disk, then note how many there are."""
        with writing(self._path):
            os.fsync(self._file.fileno())
        content = {"identity": self._identity, "rows_written": self.rows_written}
        files.write_versioned(self._note, "growing", VERSION, content)
        self._saved_at = time.monotonic()

    def finalize(self) -> None:
        """Rename the complete array to its file name.

        Raises:
            SetupError: the file cannot be written.
        """
        with writing(self._out):
            os.replace(self._path, self._out)
            self._note.unlink(missing_ok=True)

    def _npy_header(self) -> bytes:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {
            "descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False,
            "shape": (self._identity["rows"], self._identity["dimension"]),
        })
        return header.getvalue()

    def _write(self, data: bytes) -> None:
        remaining = memoryview(data)
        while remaining:  # an unbuffered file can write fewer bytes than it is given
            remaining = remaining[self._file.write(remaining):]

    def _count_reusable_rows(self, header: bytes) -> int:
        """Return the rows of an earlier process that can be continued, 0 if there are none."""
        if not self._path.exists():
            return 0
        try:
            return self._read_note(header)
        except DataError as problem:
            console(stderr=True).print(f"{path_text(self._path)} is begun anew: {problem}")
            return 0

    def _read_note(self, header: bytes) -> int:
        """Return the noted number of rows.

        Raises:
            DataError: the partial array has another identity, or is damaged.
        """
        note = files.read_versioned(self._note, "growing", VERSION, DataError)
        rows = note.get("rows_written")
        if note.get("identity") != self._identity or not isinstance(rows, int):
            raise DataError("another model, other settings or other images were used")
        with reading(self._path), self._path.open("rb") as file:
            same_header = file.read(len(header)) == header
            size = file.seek(0, os.SEEK_END)
        if not same_header or not 0 <= rows <= self._identity["rows"] or size < len(header) + rows * self._row_bytes:
            raise DataError("it is damaged")
        return rows
