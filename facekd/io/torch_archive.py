"""The zip archives that ``torch.save`` writes: whether reading one takes more memory than its file explains."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class ArchiveSize:
    """The size of an archive, before and after it is read.

    Attributes:
        stored: its bytes in the file.
        unfolded: the bytes of its records, as its directory states them.
        compressed: whether a record is compressed; the directory of such an archive may state too few bytes.
    """

    stored: int
    unfolded: int
    compressed: bool

    @property
    def grows(self) -> bool:
        """Whether reading takes more bytes than the file has; ``torch.save`` compresses nothing."""
        return self.compressed or self.unfolded > self.stored


def measure_archive(archive: BinaryIO) -> ArchiveSize:
    """Return the size of an archive; its records are not read.

    Raises:
        zipfile.BadZipFile: it is no archive; the standard library may raise others for a damaged one.
    """
    stored = archive.seek(0, os.SEEK_END)
    with zipfile.ZipFile(archive) as opened:
        records = opened.infolist()
    compressed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
    return ArchiveSize(stored, sum(record.file_size for record in records), compressed)
