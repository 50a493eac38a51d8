"""CIFAR-10 and CIFAR-100 as their authors publish them: the Python archives (pickles) and the binary archives."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.safe_pickle import loads
from facekd.data.image_set import ImageSet, Pixels
from facekd.errors import DataError
from facekd.io.reading import read_bytes
from facekd.text import path_text

IMAGE_SIZE = 32
IMAGE_BYTES = 3 * IMAGE_SIZE * IMAGE_SIZE
"""Bytes per image: the planes R, G and B one after the other, each in row-major order."""

_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class CifarArchive:
    """One of the four archives.

    Attributes:
        folder: the name of the unpacked folder.
        splits: the files of ``train`` and of ``test``, in order.
        names_file: the file with the names of the classes.
        classes: the number of classes.
        label_key: in Python archives, the key of the labels without the plural s; the names have the key
            ``{label_key}_names``.
        record_header_bytes: in binary archives, the number of bytes before the pixels of an image, the last of which is
            the label; 0 in Python archives.
    """

    folder: str
    splits: dict[str, tuple[str, ...]]
    names_file: str
    classes: int
    label_key: str
    record_header_bytes: int = 0


ARCHIVES = (
    CifarArchive("cifar-10-batches-py", {"train": _BATCHES, "test": ("test_batch",)}, "batches.meta", 10, "label"),
    CifarArchive(
        "cifar-10-batches-bin", {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
        "batches.meta.txt", 10, "label", record_header_bytes=1,
    ),
    CifarArchive("cifar-100-python", {"train": ("train",), "test": ("test",)}, "meta", 100, "fine_label"),
    CifarArchive(
        "cifar-100-binary", {"train": ("train.bin",), "test": ("test.bin",)},
        "fine_label_names.txt", 100, "fine_label", record_header_bytes=2,
    ),
)


def identify_archive(folder: Path) -> CifarArchive | None:
    """Return the archive in a folder, by the folder's official name or by its files; None if it is not an archive."""
    for archive in ARCHIVES:
        batch_files = (name for files in archive.splits.values() for name in files)
        has_files = (folder / archive.names_file).is_file() and any((folder / name).is_file() for name in batch_files)
        if folder.is_dir() and (folder.name == archive.folder or has_files):
            return archive
    return None


class CifarImages(ImageSet):
    """One split of an unpacked archive, in memory (150 MB for 50,000 images). CIFAR-100 has its 100 fine labels.

    The Python and the binary archive of the same images have the same pixels, labels and fingerprint.

    Args:
        path: the folder, for instance ``cifar-10-batches-py``.
        split: ``train`` or ``test``.

    Raises:
        DataError: the folder is not an archive; a file is missing, cut short or has other content; a pickle contains
            more than plain values (nothing is run); or a label has no class.
    """

    def __init__(self, path: Path, split: str) -> None:
        archive = identify_archive(path)
        if archive is None:
            known = ", ".join(archive.folder for archive in ARCHIVES)
            raise DataError(f"{path} holds no CIFAR archive; give one of the folders {known}")
        self.path = path
        self.class_names = _read_names(path / archive.names_file, archive)
        self._files = [path / name for name in archive.splits[split]]
        read = _read_binary if archive.record_header_bytes else _read_python
        batches = [read(file, archive) for file in self._files]
        self._planes = np.concatenate([planes for planes, _ in batches])
        self.labels = np.concatenate([labels for _, labels in batches])
        self._starts = np.cumsum([0, *(len(labels) for _, labels in batches)]).tolist()

    def stored_bytes(self, index: int) -> bytes:
        """Return the 3,072 bytes of the planes."""
        data: bytes = self._planes[index].tobytes()
        return data

    def pixels(self, index: int) -> Pixels:
        """Return image ``index`` as uint8 [32, 32, 3], RGB."""
        return np.ascontiguousarray(self._planes[index].reshape(3, IMAGE_SIZE, IMAGE_SIZE).transpose(1, 2, 0))

    def location(self, index: int) -> str:
        """Return the batch file and the index of the image in it."""
        batch = bisect_right(self._starts, index) - 1
        return _location(self._files[batch], index - self._starts[batch])


def _location(file: Path, row: int) -> str:
    return f"{file}, image {row} (counted from 0)"


def _read(file: Path) -> bytes:
    if not file.exists():
        raise DataError(f"{path_text(file)} does not exist; unpack the CIFAR archive again")
    return read_bytes(file, remedy="unpack the CIFAR archive again")


def _read_names(file: Path, archive: CifarArchive) -> list[str]:
    """Read the names of the classes: a list in a pickle, or one name per line."""
    if archive.record_header_bytes:
        values: Any = _read(file).split(b"\n")
    else:
        values = _read_dict(file).get(f"{archive.label_key}_names")
    if not isinstance(values, list) or not all(isinstance(name, (str, bytes)) for name in values):
        raise DataError(f"{file} holds no list '{archive.label_key}_names'; unpack the CIFAR archive again")
    names = [str(_text(name)).strip() for name in values]
    names = [name for name in names if name]
    if len(names) != archive.classes:
        raise DataError(
            f"{file} names {len(names)} classes instead of {archive.classes}; unpack the CIFAR archive again"
        )
    return names


def _read_binary(file: Path, archive: CifarArchive) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read records of the label byte (CIFAR-100: coarse label, fine label) and the planes."""
    data = _read(file)
    size = archive.record_header_bytes + IMAGE_BYTES
    if not data or len(data) % size:
        raise DataError(
            f"{file} has {len(data)} bytes, no multiple of the {size} of an image; it is cut short or another kind of "
            "file: unpack the CIFAR archive again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    planes = records[:, archive.record_header_bytes :]
    return planes, _check_labels(records[:, archive.record_header_bytes - 1], file, archive)


def _read_python(file: Path, archive: CifarArchive) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read a pickled dict with the planes, uint8 [images, 3072], and a list of labels."""
    content = _read_dict(file)
    planes = content.get("data")
    labels = _integer_array(content.get(f"{archive.label_key}s"))
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (IMAGE_BYTES,):
        content_type = type(planes).__name__
        if isinstance(planes, np.ndarray):
            content_type = f"{planes.dtype} {list(planes.shape)}"
        raise DataError(
            f"{file} has {content_type} under 'data', an array uint8 [images, {IMAGE_BYTES}] is needed; "
            "unpack the CIFAR archive again"
        )
    if labels is None:
        raise DataError(f"{file} has no list of whole numbers '{archive.label_key}s'; unpack the CIFAR archive again")
    if not len(planes) or len(labels) != len(planes):
        raise DataError(f"{file} holds {len(planes)} images and {len(labels)} labels; unpack the CIFAR archive again")
    return planes, _check_labels(labels, file, archive)


def _read_dict(file: Path) -> dict[Any, Any]:
    """Read a pickled dict. Its keys are text in the result; Python 2 wrote byte strings, Python 3 writes text."""
    content = loads(_read(file), str(file))
    if not isinstance(content, dict):
        raise DataError(f"{file} holds a {type(content).__name__}, a dict is needed; unpack the CIFAR archive again")
    return {_text(key): value for key, value in content.items()}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _integer_array(values: Any) -> NDArray[np.int64] | None:
    """Convert a list or an array of integers to int64; return None for anything else."""
    if isinstance(values, np.ndarray):
        values = values.tolist() if values.ndim == 1 else None
    if not isinstance(values, list) or not all(type(value) is int and abs(value) < 2**63 for value in values):
        return None
    return np.array(values, np.int64)


def _check_labels(labels: NDArray[Any], file: Path, archive: CifarArchive) -> NDArray[np.int64]:
    invalid: Sequence[int] = np.flatnonzero((labels < 0) | (labels >= archive.classes)).tolist()
    if invalid:
        raise DataError(
            f"{_location(file, invalid[0])} has the label {labels[invalid[0]]}, the classes are 0 to "
            f"{archive.classes - 1} ({len(invalid)} of {len(labels)} images are like this); is it {archive.folder}? "
            "Unpack the archive again"
        )
    return labels.astype(np.int64)
