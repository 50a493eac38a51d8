"""Open the face set or the pair list at a path, whatever its format."""

from __future__ import annotations

import os
from pathlib import Path

from facekd.data.containers.image_folder import FolderFaces, list_images
from facekd.data.containers.lmdb import LmdbFaces, find_environment
from facekd.data.containers.recordio_faces import RecordFaces, find_record_file
from facekd.data.containers.webdataset import ShardFaces, find_shards
from facekd.data.face_set import FaceSet
from facekd.data.pairs.insightface_bin import read_bin
from facekd.data.pairs.pair_set import PairSet, read_pair_file
from facekd.data.pairs.text_lists import read_csv, read_lfw
from facekd.data.unlabeled import LooseImages, WithoutLabels, open_image_list, require_labels
from facekd.errors import DataError
from facekd.text import path_text

_SUPPORTED = (
    "give a folder with one subfolder per person or with images without labels, a text list of images (.txt), a "
    "RecordIO folder holding a .rec file, an LMDB folder holding data.mdb, or WebDataset shards (.tar)"
)


def open_faces(path: Path | str, *, labels: bool | None = None, root: Path | str | None = None) -> FaceSet:
    """Open a face set in any supported container; `docs/data.md` describes them.

    A folder has labels if every image lies directly in a subfolder, which is then a person's. With images directly in
    the folder, or deeper than ``PERSON/IMAGE``, it is a set without labels (`ImageSet.is_labeled`).

    Args:
        path: an InsightFace RecordIO folder or its ``.rec`` file; an LMDB environment; WebDataset shards (a ``.tar``
            file or a folder of them); a folder of images; or a text list of images (``.txt``), one path a line.
        labels: what the user states. True: the first level of subfolders are people, whatever lies below them, and
            images directly in the folder are left out. False: labels are set aside. None: as the layout or the
            container says.
        root: the folder from which the paths of a list start; None for the folder of the list.

    Raises:
        DataError: the path does not exist or is not a face set, it has no labels where ``labels`` is True, or ``root``
            is given for something else than a list.
        SetupError: the package that the container needs is not installed.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise DataError(f"{path_text(path)} does not exist; {_SUPPORTED}")
    is_list = path.suffix.lower() == ".txt" and path.is_file()
    if root is not None and not is_list:
        raise DataError(f"{path_text(path)} is no text list, and only the paths of a list start from a root; leave the "
                        "root out")
    faces = open_image_list(path, None if root is None else Path(root)) if is_list else _open_container(path, labels)
    if labels:
        require_labels(faces, "this use")
    return WithoutLabels(faces) if labels is False and faces.is_labeled else faces


def _open_container(path: Path, labels: bool | None) -> FaceSet:
    if record_file := find_record_file(path):
        return RecordFaces(record_file)
    if environment := find_environment(path):
        return LmdbFaces(environment)
    if shards := find_shards(path):
        return ShardFaces(path, shards)
    if path.is_file():
        raise DataError(f"{path_text(path)} is a file but no .rec, .lmdb, .tar or .txt; {_SUPPORTED}")
    listing = list_images(path)
    reason = listing.unlabeled_reason() or ("" if labels is not False else "its labels were set aside")
    if labels or not reason or not listing.images:  # an empty folder is refused as a folder of people
        return FolderFaces(path, listing)
    return LooseImages(path, path, ["/".join(image) for image in listing.images], reason, listing.ignored)


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
