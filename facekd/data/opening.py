"""From a path to the face set or the pair list that lies there, whichever of their forms it is."""

from __future__ import annotations

from pathlib import Path

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.lmdb import LmdbFaces, find_environment
from facekd.data.containers.recordio_faces import RecordFaces, find_record_file
from facekd.data.containers.webdataset import ShardFaces, find_shards
from facekd.data.face_set import FaceSet
from facekd.data.pairs.insightface_bin import read_bin
from facekd.data.pairs.pair_set import PairSet, content_of
from facekd.data.pairs.text_lists import read_csv, read_lfw
from facekd.errors import DataError


def open_faces(path: Path | str) -> FaceSet:
    """Open a face set, whichever container it lies in; `docs/data.md` describes them.

    Args:
        path: an InsightFace RecordIO folder or its ``.rec``; an LMDB environment; WebDataset shards (a ``.tar`` or a
            folder of such); a folder with one subfolder a person.

    Raises:
        DataError: nothing there, or nothing in it that is a face set.
        SetupError: the container's package is not installed.
    """
    path = Path(path)
    understood = (
        "give a folder with one subfolder a person, a RecordIO folder holding a .rec file, an LMDB folder holding "
        "data.mdb, or WebDataset shards (.tar)"
    )
    if not path.exists():
        raise DataError(f"{path} does not exist; {understood}")
    if record_file := find_record_file(path):
        return RecordFaces(record_file)
    if environment := find_environment(path):
        return LmdbFaces(environment)
    if shards := find_shards(path):
        return ShardFaces(path, shards)
    if path.is_file():
        raise DataError(f"{path} is a file but no .rec, .lmdb or .tar; {understood}")
    return FolderFaces(path)


def open_pairs(pairs: Path, images: Path | None) -> PairSet:
    """Read a pair list, whichever of the three kinds it is.

    Args:
        pairs: a CSV file, LFW's pairs.txt, or an InsightFace .bin.
        images: the folder that the paths or names of a text file start from; a .bin brings its images along.

    Raises:
        DataError: it is none of them, is damaged, or names images that do not exist.
    """
    content = content_of(pairs)
    if pairs.suffix.lower() == ".bin" or content.startswith(b"\x80"):
        return read_bin(pairs)
    if images is None:
        raise DataError(f"{pairs} names its images by path; say which folder the paths start from (images)")
    return read_csv(pairs, images) if b"," in content.partition(b"\n")[0] else read_lfw(pairs, images)
