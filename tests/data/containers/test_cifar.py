"""CIFAR's four archives, written here byte by byte as their authors' programs wrote them."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.containers.cifar import CifarImages, identify_archive
from facekd.errors import DataError

Batch = tuple[NDArray[np.uint8], list[int]]
BATCHES = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]


def random_batch(images: int, classes: int, seed: int) -> Batch:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (images, 3072), np.uint8), random.integers(0, classes, images).tolist()


TEN = {name: random_batch(2 + row, 10, row) for row, name in enumerate([*BATCHES, "test_batch"])}
HUNDRED = {name: random_batch(4, 100, row) for row, name in enumerate(["train", "test"])}
NAMES_10 = [f"thing {label}" for label in range(10)]
NAMES_100 = [f"fine_{label}" for label in range(100)]


def text2(value: str) -> bytes:
    """A byte string as Python 2 pickled it."""
    return b"U" + bytes([len(value)]) + value.encode()


def list2(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def array2(planes: NDArray[np.uint8]) -> bytes:
    """A uint8 array as numpy under Python 2 pickled it, protocol 2."""
    shape = b"".join(b"M" + struct.pack("<H", side) for side in planes.shape)
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    prefix = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    return prefix + shape + b"\x86" + dtype + b"\x89T" + struct.pack("<i", planes.size) + planes.tobytes() + b"tb"


def dict2(**values: bytes) -> bytes:
    return b"\x80\x02}(" + b"".join(text2(key) + value for key, value in values.items()) + b"u."


def numbers2(labels: list[int]) -> bytes:
    return list2([b"K" + bytes([label]) for label in labels])


def python_10(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, (planes, labels) in TEN.items():
        files = list2([text2(f"{row}.png") for row in labels])
        content = dict2(batch_label=text2("a batch"), labels=numbers2(labels), data=array2(planes), filenames=files)
        (folder / name).write_bytes(content)
    (folder / "batches.meta").write_bytes(dict2(label_names=list2([text2(name) for name in NAMES_10])))
    return folder


def binary_10(root: Path) -> Path:
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for name, (planes, labels) in TEN.items():
        records = [bytes([label]) + row.tobytes() for label, row in zip(labels, planes, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    (folder / "batches.meta.txt").write_text("\n".join(NAMES_10) + "\n\n", encoding="ascii")
    return folder


def python_100(root: Path) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for name, (planes, labels) in HUNDRED.items():
        coarse = numbers2([label // 5 for label in labels])
        content = dict2(data=array2(planes), coarse_labels=coarse, fine_labels=numbers2(labels))
        (folder / name).write_bytes(content)
    fine, coarse = (list2([text2(name) for name in names]) for names in (NAMES_100, NAMES_100[:20]))
    (folder / "meta").write_bytes(dict2(fine_label_names=fine, coarse_label_names=coarse))
    return folder


def binary_100(root: Path) -> Path:
    folder = root / "cifar-100-binary"
    folder.mkdir()
    for name, (planes, labels) in HUNDRED.items():
        records = [bytes([label // 5, label]) + row.tobytes() for label, row in zip(labels, planes, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES_100) + "\n", encoding="ascii")
    return folder


WRITERS = [python_10, binary_10, python_100, binary_100]


def test_the_archives_written_here_are_what_python_itself_reads(tmp_path: Path) -> None:
    content = pickle.loads((python_10(tmp_path) / "data_batch_3").read_bytes(), encoding="bytes")
    np.testing.assert_array_equal(content[b"data"], TEN["data_batch_3"][0])
    assert content[b"labels"] == TEN["data_batch_3"][1]


@pytest.mark.parametrize("write", [python_10, binary_10])
def test_ten_classes(tmp_path: Path, write: Any) -> None:
    folder = write(tmp_path)
    train, test = CifarImages(folder, "train"), CifarImages(folder, "test")
    assert train.labels.tolist() == [label for name in BATCHES for label in TEN[name][1]]
    assert (len(test), test.labels.tolist(), test.class_names) == (7, TEN["test_batch"][1], NAMES_10)
    assert train.labels.dtype == np.int64


@pytest.mark.parametrize("write", [python_100, binary_100])
def test_hundred_classes_are_the_fine_ones(tmp_path: Path, write: Any) -> None:
    images = CifarImages(write(tmp_path), "train")
    assert (images.labels.tolist(), images.class_names) == (HUNDRED["train"][1], NAMES_100)


@pytest.mark.parametrize("write", WRITERS)
def test_pixels_come_from_planes(tmp_path: Path, write: Any) -> None:
    images = CifarImages(write(tmp_path), "test")
    pixels, planes = images.pixels(1), (TEN["test_batch"] if images.num_classes == 10 else HUNDRED["test"])[0][1]
    assert (pixels.shape, pixels.dtype, pixels.flags["C_CONTIGUOUS"]) == ((32, 32, 3), np.dtype(np.uint8), True)
    for row, column, channel in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (31, 30, 2), (7, 20, 1)]:
        assert pixels[row, column, channel] == planes[channel * 1024 + row * 32 + column]


@pytest.mark.parametrize(("one", "other"), [(python_10, binary_10), (python_100, binary_100)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_both_archives_share_the_fingerprint(tmp_path: Path, one: Any, other: Any, split: str) -> None:
    assert CifarImages(one(tmp_path), split).fingerprint() == CifarImages(other(tmp_path), split).fingerprint()


@pytest.mark.parametrize("write", WRITERS)
def test_content_is_the_planes_bytes(tmp_path: Path, write: Any) -> None:
    images = CifarImages(write(tmp_path), "test")
    planes = (TEN["test_batch"] if images.num_classes == 10 else HUNDRED["test"])[0]
    assert [images.stored_bytes(index) for index in range(len(images))] == [row.tobytes() for row in planes]


def test_the_location_names_the_batch_and_the_index_in_it(tmp_path: Path) -> None:
    images = CifarImages(python_10(tmp_path), "train")
    locations = [images.location(index).removeprefix(f"{images.path}/") for index in (0, 1, 2, 4, 5, len(images) - 1)]
    assert locations == [
        f"data_batch_{number}, image {row} (counted from 0)" for number, row in
        [(1, 0), (1, 1), (2, 0), (2, 2), (3, 0), (5, 5)]
    ]


def test_a_copy_pickled_by_python_3_reads_the_same(tmp_path: Path) -> None:
    folder = python_10(tmp_path)
    truth = CifarImages(folder, "test").fingerprint()
    planes, labels = TEN["test_batch"]
    (folder / "test_batch").write_bytes(pickle.dumps({"data": planes, "labels": np.array(labels)}, 2))
    assert CifarImages(folder, "test").fingerprint() == truth


@pytest.mark.parametrize("write", WRITERS)
def test_a_renamed_folder_is_known_by_its_files(tmp_path: Path, write: Any) -> None:
    folder = write(tmp_path)
    archive = identify_archive(folder)
    assert archive is not None and identify_archive(folder.rename(tmp_path / "renamed")) is archive


def test_other_folders_are_no_archive(tmp_path: Path) -> None:
    (tmp_path / "meta").touch()
    assert identify_archive(tmp_path) is None
    with pytest.raises(DataError, match=r"holds no CIFAR archive; give one of the folders cifar-10-batches-py, "):
        CifarImages(tmp_path, "train")


class Bomb:
    """Creates a folder when Python's own pickle module loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("file", ["data_batch_4", "batches.meta"])
def test_a_malicious_pickle_is_refused_unread(tmp_path: Path, file: str) -> None:
    folder = python_10(tmp_path)
    (folder / file).write_bytes(pickle.dumps({b"data": Bomb(tmp_path / "ran")}, 2))
    with pytest.raises(DataError, match=rf"{file} wants posix.mkdir, .*nothing was run"):
        CifarImages(folder, "train")
    assert not (tmp_path / "ran").exists()


ABSENT = [
    (python_10, "data_batch_3"), (python_10, "batches.meta"), (binary_10, "data_batch_5.bin"),
    (binary_10, "batches.meta.txt"), (python_100, "train"), (python_100, "meta"), (binary_100, "train.bin"),
    (binary_100, "fine_label_names.txt"),
]


@pytest.mark.parametrize(("write", "file"), ABSENT)
def test_an_absent_file_is_named(tmp_path: Path, write: Any, file: str) -> None:
    folder = write(tmp_path)
    (folder / file).unlink()
    with pytest.raises(DataError, match=rf"{file} does not exist; unpack the CIFAR archive again"):
        CifarImages(folder, "train")


@pytest.mark.parametrize("file", ["data_batch_2", "batches.meta"])
@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_a_pickle_cut_short_is_refused(tmp_path: Path, file: str, share: float) -> None:
    folder = python_10(tmp_path)
    data = (folder / file).read_bytes()
    (folder / file).write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=rf"{file} cannot be read as a pickle of plain values"):
        CifarImages(folder, "train")


@pytest.mark.parametrize(("write", "file", "size"), [(binary_10, "data_batch_1", 3073), (binary_100, "train", 3074)])
@pytest.mark.parametrize("cut", [1, 3000, None])
def test_a_binary_file_that_is_no_whole_records_is_refused(
    tmp_path: Path, write: Any, file: str, size: int, cut: int | None
) -> None:
    path = write(tmp_path) / f"{file}.bin"
    data = path.read_bytes()[: -cut if cut else 0]
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{file}.bin has {len(data)} bytes, no multiple of the {size} of an image"):
        CifarImages(path.parent, "train")


def test_ten_classes_files_are_no_hundred_classes_files(tmp_path: Path) -> None:
    folder = binary_100(tmp_path)
    (folder / "train.bin").write_bytes((binary_10(tmp_path) / "test_batch.bin").read_bytes())
    with pytest.raises(DataError, match="no multiple of the 3074"):
        CifarImages(folder, "train")


@pytest.mark.parametrize(("write", "file", "offset"), [(binary_10, "test_batch", 3073), (binary_100, "test", 3075)])
def test_a_binary_label_out_of_range_is_named(tmp_path: Path, write: Any, file: str, offset: int) -> None:
    path = write(tmp_path) / f"{file}.bin"
    data = bytearray(path.read_bytes())
    data[offset] = 200
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{file}.bin, image 1 \(counted from 0\) has the label 200, the classes"):
        CifarImages(path.parent, "test")


PLANES = np.zeros((2, 3072), np.uint8)
WRONG: dict[str, tuple[Any, str]] = {
    "label too high": ({"data": PLANES, "labels": [0, 10]}, r"image 1 .* label 10, the classes are 0 to 9 \(1 of 2"),
    "label below zero": ({"data": PLANES, "labels": [-1, 0]}, "image 0 .* has the label -1"),
    "labels absent": ({"data": PLANES}, "has no list of whole numbers 'labels'"),
    "labels of the other archive": ({"data": PLANES, "fine_labels": [0, 1]}, "has no list of whole numbers 'labels'"),
    "label no number": ({"data": PLANES, "labels": [0, "1"]}, "has no list of whole numbers 'labels'"),
    "label no whole number": ({"data": PLANES, "labels": [0, 0.5]}, "has no list of whole numbers 'labels'"),
    "label endless": ({"data": PLANES, "labels": [0, 10**30]}, "has no list of whole numbers 'labels'"),
    "label missing": ({"data": PLANES, "labels": [0]}, "holds 2 images and 1 labels"),
    "no image": ({"data": PLANES[:0], "labels": []}, "holds 0 images and 0 labels"),
    "data absent": ({"labels": [0, 1]}, r"has NoneType under 'data', an array uint8 \[images, 3072\] is needed"),
    "data of another width": ({"data": PLANES[:, 1:], "labels": [0, 1]}, r"has uint8 \[2, 3071\] under 'data'"),
    "data of another type": ({"data": PLANES.astype("f4"), "labels": [0, 1]}, r"has float32 \[2, 3072\] under 'data'"),
    "data flat": ({"data": PLANES[0], "labels": [0, 1]}, r"has uint8 \[3072\] under 'data'"),
    "no dict": ([PLANES, [0, 1]], "holds a list, a dict is needed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_named(tmp_path: Path, case: str) -> None:
    folder = python_10(tmp_path)
    content, message = WRONG[case]
    (folder / "test_batch").write_bytes(pickle.dumps(content, 4))
    with pytest.raises(DataError, match=f"test_batch(, | ){message}"):
        CifarImages(folder, "test")


NAMES: list[tuple[Any, str]] = [
    ({"label_names": NAMES_10[:9]}, "names 9 classes instead of 10"),
    ({"label_names": "abcdefghij"}, "holds no list 'label_names'"),
    ({"fine_label_names": NAMES_10}, "holds no list 'label_names'"),
    ({"label_names": list(range(10))}, "holds no list 'label_names'"),
    (NAMES_10, "holds a list, a dict is needed"),
]


@pytest.mark.parametrize(("content", "message"), NAMES)
def test_wrong_names_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    folder = python_10(tmp_path)
    (folder / "batches.meta").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=f"batches.meta {message}"):
        CifarImages(folder, "test")


def test_too_few_names_in_a_binary_archive(tmp_path: Path) -> None:
    folder = binary_100(tmp_path)
    (folder / "fine_label_names.txt").write_text("a\nb\n", encoding="ascii")
    with pytest.raises(DataError, match=r"fine_label_names.txt names 2 classes instead of 100"):
        CifarImages(folder, "test")
