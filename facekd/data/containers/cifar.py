"""CIFAR-10 and CIFAR-100 as their authors publish them: the Python archives (pickles) and the binary ones."""

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

SIDE = 32
VALUES = 3 * SIDE * SIDE
"""Bytes an image: the planes R, G and B one after the other, each row by row."""

_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class Form:
    """One of the four archives.

    Attributes:
        folder: the name of the folder that the archive unpacks to.
        splits: the files of ``train`` and of ``test``, in order.
        names: the file that names the classes.
        classes: number of classes.
        label: Python archives: the key of the labels; the names have the key ``{label}_names``, ``label`` in singular.
        head: binary archives: bytes before an image's pixels, the last of which is the label; 0 in Python archives.
    """

    folder: str
    splits: dict[str, tuple[str, ...]]
    names: str
    classes: int
    label: str
    head: int = 0


FORMS = (
    Form("cifar-10-batches-py", {"train": _BATCHES, "test": ("test_batch",)}, "batches.meta", 10, "label"),
    Form(
        "cifar-10-batches-bin", {"train": tuple(f"{name}.bin" for name in _BATCHES), "test": ("test_batch.bin",)},
        "batches.meta.txt", 10, "label", head=1,
    ),
    Form("cifar-100-python", {"train": ("train",), "test": ("test",)}, "meta", 100, "fine_label"),
    Form(
        "cifar-100-binary", {"train": ("train.bin",), "test": ("test.bin",)},
        "fine_label_names.txt", 100, "fine_label", head=2,
    ),
)


def form_of(folder: Path) -> Form | None:
    """Which archive a folder holds: by its official name, else by its files; None if it is none of them."""
    for form in FORMS:
        images = (name for files in form.splits.values() for name in files)
        renamed = (folder / form.names).is_file() and any((folder / name).is_file() for name in images)
        if folder.is_dir() and (folder.name == form.folder or renamed):
            return form
    return None


class CifarImages(ImageSet):
    """One split of an unpacked archive, in memory (150 MB for 50,000 images); CIFAR-100 has its 100 fine labels.

    The Python and the binary archive of the same images share pixels, labels and fingerprint.

    Args:
        path: the folder, for instance ``cifar-10-batches-py``.
        split: ``train`` or ``test``.

    Raises:
        DataError: no such archive; a file absent, cut short or with other content; a pickle that wants more than
            values (nothing is run); a label without a class.
    """

    def __init__(self, path: Path, split: str) -> None:
        form = form_of(path)
        if form is None:
            known = ", ".join(form.folder for form in FORMS)
            raise DataError(f"{path} holds no CIFAR archive; give one of the folders {known}")
        self.path = path
        self.names = _read_names(path / form.names, form)
        self._files = [path / name for name in form.splits[split]]
        read = _read_binary if form.head else _read_python
        parts = [read(file, form) for file in self._files]
        self._planes = np.concatenate([planes for planes, _ in parts])
        self.labels = np.concatenate([labels for _, labels in parts])
        self._starts = np.cumsum([0, *(len(labels) for _, labels in parts)]).tolist()

    def content(self, index: int) -> bytes:
        """The 3,072 bytes of the planes."""
        data: bytes = self._planes[index].tobytes()
        return data

    def pixels(self, index: int) -> Pixels:
        """Image ``index``: uint8 [32, 32, 3], RGB."""
        return np.ascontiguousarray(self._planes[index].reshape(3, SIDE, SIDE).transpose(1, 2, 0))

    def where(self, index: int) -> str:
        """The batch file and the image's place in it."""
        part = bisect_right(self._starts, index) - 1
        return _place(self._files[part], index - self._starts[part])


def _place(file: Path, row: int) -> str:
    return f"{file}, image {row} (counted from 0)"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(f"{file} cannot be read ({problem.strerror}); unpack the CIFAR archive again") from problem


def _read_names(file: Path, form: Form) -> list[str]:
    """The names of the classes: a list in a pickle, or one a line."""
    if form.head:
        listed: Any = _read(file).split(b"\n")
    else:
        listed = _read_dict(file).get(f"{form.label}_names")
    if not isinstance(listed, list) or not all(isinstance(name, (str, bytes)) for name in listed):
        raise DataError(f"{file} holds no list '{form.label}_names'; unpack the CIFAR archive again")
    names = [str(_text(name)).strip() for name in listed]
    names = [name for name in names if name]
    if len(names) != form.classes:
        raise DataError(f"{file} names {len(names)} classes instead of {form.classes}; unpack the CIFAR archive again")
    return names


def _read_binary(file: Path, form: Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Records of one label byte (CIFAR-100: coarse label, fine label) and the planes."""
    data = _read(file)
    size = form.head + VALUES
    if not data or len(data) % size:
        raise DataError(
            f"{file} has {len(data)} bytes, no multiple of the {size} of an image; it is cut short or another kind of "
            "file: unpack the CIFAR archive again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    return records[:, form.head :], _checked(records[:, form.head - 1], file, form)


def _read_python(file: Path, form: Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A pickled dict with the planes, uint8 [images, 3072], and a list of labels."""
    content = _read_dict(file)
    planes, labels = content.get("data"), _whole_numbers(content.get(f"{form.label}s"))
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape[1:] != (VALUES,):
        found = f"{planes.dtype} {list(planes.shape)}" if isinstance(planes, np.ndarray) else type(planes).__name__
        raise DataError(
            f"{file} has {found} under 'data', an array uint8 [images, {VALUES}] is needed; "
            "unpack the CIFAR archive again"
        )
    if labels is None:
        raise DataError(f"{file} has no list of whole numbers '{form.label}s'; unpack the CIFAR archive again")
    if not len(planes) or len(labels) != len(planes):
        raise DataError(f"{file} holds {len(planes)} images and {len(labels)} labels; unpack the CIFAR archive again")
    return planes, _checked(labels, file, form)


def _read_dict(file: Path) -> dict[Any, Any]:
    """The dict in a pickle; Python 2 wrote its keys as byte strings, a copy written by Python 3 has text."""
    content = loads(_read(file), str(file))
    if not isinstance(content, dict):
        raise DataError(f"{file} holds a {type(content).__name__}, a dict is needed; unpack the CIFAR archive again")
    return {_text(key): value for key, value in content.items()}


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _whole_numbers(values: Any) -> NDArray[np.int64] | None:
    """A list of whole numbers (or an array of them) as an array; None if it is something else."""
    if isinstance(values, np.ndarray):
        values = values.tolist() if values.ndim == 1 else None
    if not isinstance(values, list) or not all(type(value) is int and abs(value) < 2**63 for value in values):
        return None
    return np.array(values, np.int64)


def _checked(labels: NDArray[Any], file: Path, form: Form) -> NDArray[np.int64]:
    wrong: Sequence[int] = np.flatnonzero((labels < 0) | (labels >= form.classes)).tolist()
    if wrong:
        raise DataError(
            f"{_place(file, wrong[0])} has the label {labels[wrong[0]]}, the classes are 0 to {form.classes - 1} "
            f"({len(wrong)} of {len(labels)} images are like this); is it {form.folder}? Unpack the archive again"
        )
    return labels.astype(np.int64)
