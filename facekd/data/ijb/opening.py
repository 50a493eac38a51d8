"""Find and read the files of IJB-B or IJB-C, whoever handed them out."""

from __future__ import annotations

from pathlib import Path

from facekd.data.ijb.insightface import SPLITS, read_insightface
from facekd.data.ijb.nist import LAYOUTS, read_nist
from facekd.data.ijb.protocol import TemplateProtocol
from facekd.errors import DataError

PLACES = ("", "meta", "protocol", "protocols")


def open_ijb(folder: Path) -> TemplateProtocol:
    """Read the protocol files in a folder, or in its subfolder ``meta``, ``protocol`` or ``protocols``.

    InsightFace's: see `facekd.data.ijb.insightface.read_insightface`. NIST's: see `facekd.data.ijb.nist.read_nist`.
    InsightFace's are taken where both are (its folder holds NIST's CSV files of 1:N, too).

    Raises:
        DataError: no such files, files of several protocols in one place, or they cannot be used.
    """
    for place in PLACES:
        here = folder / place
        prefixes = [prefix for prefix in SPLITS if (here / f"{prefix}_face_tid_mid.txt").is_file()]
        layouts = [layout for layout in LAYOUTS if (here / layout.probes).is_file()]
        if len(prefixes) > 1 or (not prefixes and len(layouts) > 1):
            raise DataError(f"{here} holds files of several protocols; put those of each into a folder of its own")
        if prefixes:
            return read_insightface(here, prefixes[0])
        if layouts:
            return read_nist(here, layouts[0])
    expected = [f"{prefix}_face_tid_mid.txt" for prefix in SPLITS] + [layout.probes for layout in LAYOUTS]
    raise DataError(f"{folder} holds no files of IJB-B or IJB-C; one of these is needed: {', '.join(expected)}")
