"""Open the face set or the pair list at a path, whatever its format."""

from __future__ import annotations

import os
from pathlib import Path

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.lmdb import LmdbFaces, find_environment
from facekd.data.containers.recordio_faces import RecordFaces, find_record_file
from facekd.data.containers.webdataset import ShardFaces, find_shards
from facekd.data.face_set import FaceSet
from facekd.data.pairs.insightface_bin import read_bin
from facekd.data.pairs.pair_set import PairSet, read_pair_file
from facekd.data.pairs.text_lists import read_csv, read_lfw
from facekd.errors import DataError
from facekd.text import path_text

_SUPPORTED = (
    "give a folder with one subfolder per person, a RecordIO folder holding a .rec file, an LMDB folder holding "
    "data.mdb, or WebDataset shards (.tar)"
)


def open_faces(path: Path | str) -> FaceSet:
    """Open a face set in any supported container; `docs/data.md` describes them.

    Args:
        path: an InsightFace RecordIO folder or its ``.rec`` file; an LMDB environment; WebDataset shards (a ``.tar``
            file or a folder of them); or a folder with one subfolder per person.

    Raises:
        DataError: the path does not exist or is not a face set.
        SetupError: the package that the container needs is not installed.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise DataError(f"{path_text(path)} does not exist; {_SUPPORTED}")
    if record_file := find_record_file(path):
        return RecordFaces(record_file)
    if environment := find_environment(path):
        return LmdbFaces(environment)
    if shards := find_shards(path):
        return ShardFaces(path, shards)
    if path.is_file():
        raise DataError(f"{path_text(path)} is a file but no .rec, .lmdb or .tar; {_SUPPORTED}")
    return FolderFaces(path)


def open_pairs(pairs: Path, images: Path | None) -> PairSet:
    """Read a pair list in any of the three supported formats.

    Args:
        pairs: a CSV file, a list in the format of LFW's pairs.txt, or an InsightFace ``.bin`` file.
        images: the folder to which the paths or names in a text file are relative; a ``.bin`` contains its images.

    Raises:
        DataError: the file has another format, is damaged, or names images that do not exist.
    """
    content = read_pair_file(pairs)
    if pairs.suffix.lower() == ".bin" or content.startswith(b"\x80"):
        return read_bin(pairs)
    if images is None:
        raise DataError(f"{path_text(pairs)} names its images by path; give the folder they start from (--images)")
    first_line = content.partition(b"\n")[0]
    return read_csv(pairs, images) if b"," in first_line else read_lfw(pairs, images)
