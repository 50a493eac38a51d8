"""Find and read the files of IJB-B or IJB-C in the format of NIST or of InsightFace."""

from __future__ import annotations

from pathlib import Path

from facekd.data.ijb.insightface import SPLITS, read_insightface
from facekd.data.ijb.nist import LAYOUTS, read_nist
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.errors import DataError
from facekd.text import path_text

SUBFOLDERS = ("", "meta", "protocol", "protocols")


def open_ijb(folder: Path) -> TemplateProtocol:
    """Read the protocol files in a folder, or in its subfolder ``meta``, ``protocol`` or ``protocols``.

    For the formats see `facekd.data.ijb.insightface.read_insightface` and `facekd.data.ijb.nist.read_nist`. If a folder
    has files of both, InsightFace's are read, because its folder also contains NIST's CSV files for 1:N.

    Raises:
        DataError: there are no such files, files of several protocols in one folder, or files that cannot be used.
    """
    for subfolder in SUBFOLDERS:
        candidate = folder / subfolder
        prefixes = [prefix for prefix in SPLITS if (candidate / f"{prefix}_face_tid_mid.txt").is_file()]
        layouts = [layout for layout in LAYOUTS if (candidate / layout.probes).is_file()]
        if len(prefixes) > 1 or (not prefixes and len(layouts) > 1):
            raise DataError(f"{path_text(candidate)} holds files of several protocols; put those of each into a folder "
                            "of its own")
        if prefixes:
            return read_insightface(candidate, prefixes[0])
        if layouts:
            return read_nist(candidate, layouts[0])
    expected = [f"{prefix}_face_tid_mid.txt" for prefix in SPLITS] + [layout.probes for layout in LAYOUTS]
    raise DataError(f"{path_text(folder)} holds no files of IJB-B or IJB-C; one of these is needed: "
                    f"{', '.join(expected)}")
