from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data.containers.cifar import CifarImages
from facekd.data.containers.class_set import first_classes, open_class_set
from facekd.data.containers.image_folder import FolderFaces
from facekd.data.image_set import ImageSet
from facekd.errors import DataError


def write_files(root: Path, *files: str) -> Path:
    """Write files that contain their own names."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    return root


def write_shards(root: Path, **labels: list[int]) -> Path:
    """Write Parquet files with the given names and labels, of three classes a, b, c."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root.mkdir(exist_ok=True)
    for name, numbers in labels.items():
        images = [{"bytes": f"{name} {row}".encode()} for row in range(len(numbers))]
        table = arrow.table({"image": images, "label": arrow.array(numbers, arrow.int64())})
        parquet.write_table(table.replace_schema_metadata({"classes": "a,b,c"}), root / f"{name}.parquet")
    return root


def write_cifar(root: Path, folder: str = "cifar-100-python") -> Path:
    """Write a CIFAR-100 archive with two images per split."""
    (root / folder).mkdir(parents=True)
    for split, label in (("train", 7), ("test", 9)):
        content = {"data": np.full((2, 3072), label, np.uint8), "fine_labels": [label, 0]}
        (root / folder / split).write_bytes(pickle.dumps(content, 2))
    names = {"fine_label_names": [f"class {label}" for label in range(100)]}
    (root / folder / "meta").write_bytes(pickle.dumps(names, 2))
    return root / folder


def locations(images: ImageSet) -> list[str]:
    return [Path(images.location(index)).relative_to(images.path.parent).as_posix() for index in range(len(images))]


@pytest.mark.parametrize("above", ["", ".."])
@pytest.mark.parametrize(("split", "labels"), [("train", [7, 0]), ("test", [9, 0])])
def test_cifar_folder_or_the_folder_that_holds_it(tmp_path: Path, above: str, split: str, labels: list[int]) -> None:
    images = open_class_set(write_cifar(tmp_path) / above, split)
    assert isinstance(images, CifarImages)
    assert (images.labels.tolist(), images.class_names[7]) == (labels, "class 7")


def test_a_renamed_cifar_folder(tmp_path: Path) -> None:
    assert open_class_set(str(write_cifar(tmp_path, "renamed")), "test").num_classes == 100


def test_two_cifar_folders_are_too_many(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-bin").mkdir()
    sentence = r"holds 2 CIFAR archives \(cifar-10-batches-bin, cifar-100-python\); give the path of one of them"
    with pytest.raises(DataError, match=sentence):
        open_class_set(tmp_path, "train")


@pytest.mark.parametrize(
    ("files", "split", "labels"),
    [
        ({"train": [0, 1], "test": [2]}, "train", [0, 1]),
        ({"train": [0, 1], "test": [2]}, "test", [2]),
        ({"train": [0], "val": [1]}, "test", [1]),
        ({"train": [0], "validation": [1, 1]}, "test", [1, 1]),
        ({"train": [0], "test": [1], "val": [2]}, "test", [1]),
        ({"train-00001-of-00002": [1], "train-00000-of-00002": [0, 0]}, "train", [0, 0, 1]),
        ({"train-00000-of-00002-1359597a978bc4fa": [0], "train-00001-of-00002-27d7e79a1ae5a9c8": [2]}, "train", [0, 2]),
        ({"train_b": [1], "train_a": [0]}, "train", [0, 1]),
    ],
)
def test_parquet_folder(tmp_path: Path, files: dict[str, list[int]], split: str, labels: list[int]) -> None:
    images = open_class_set(write_shards(tmp_path, **files), split)
    assert (images.labels.tolist(), images.class_names, images.path) == (labels, ["a", "b", "c"], tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002",),
        ("train-00000-of-00001", "train-00001-of-00002"),
        ("train-00000-of-00001", "train"),
        ("train-00000-of-00001-aa", "train-00000-of-00001-bb", "train-00001-of-00003"),
    ],
)
def test_missing_or_foreign_shards_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = write_shards(tmp_path, **{name: [0] for name in names})
    message = rf"holds {len(names)} Parquet files of the train split, but their names require"
    with pytest.raises(DataError, match=message):
        open_class_set(folder, "train")


def test_parquet_splits_must_name_the_same_classes(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_shards(tmp_path, train=[0], test=[1])
    table = parquet.read_table(tmp_path / "test.parquet").replace_schema_metadata({"classes": "b,a,c"})
    parquet.write_table(table, tmp_path / "test.parquet")
    for split in ("train", "test"):
        with pytest.raises(DataError, match="name different classes"):
            open_class_set(tmp_path, split)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_parquet_file_serves_as_either_split(tmp_path: Path, split: str) -> None:
    file = write_shards(tmp_path, train=[0], test=[2, 1]) / "test.parquet"
    assert open_class_set(file, split).labels.tolist() == [2, 1]


IMAGENET = ["train/n02/a.JPEG", "train/n01/a.JPEG", "train/n03/a.JPEG", "val/n03/1.JPEG", "val/n01/2.JPEG"]


def test_both_splits_number_the_classes_alike(tmp_path: Path) -> None:
    write_files(tmp_path, *IMAGENET)
    train, test = (open_class_set(tmp_path, split) for split in ("train", "test"))
    assert (train.labels.tolist(), train.class_names) == ([0, 1, 2], ["n01", "n02", "n03"])
    assert (test.labels.tolist(), test.class_names) == ([0, 2], ["n01", "n02", "n03"])
    assert (test.labels.dtype, locations(test)) == (np.dtype(np.int64), ["val/n01/2.JPEG", "val/n03/1.JPEG"])


def test_classes_that_train_lacks_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, *IMAGENET, "val/n04/1.JPEG", "val/n00/1.JPEG", "train/n04/readme.txt")
    with pytest.raises(DataError, match=r"val holds 2 classes that .*train lacks \(n00, n04\); give both splits"):
        open_class_set(tmp_path, "test")


@pytest.mark.parametrize("odd", ["n04/.hidden.jpg", "n04/.below/1.jpg", ".n04/1.jpg", "n04/notes.txt"])
def test_classes_are_those_of_the_folder_reader(tmp_path: Path, odd: str) -> None:
    write_files(tmp_path, *IMAGENET, f"train/{odd}", "train/B/deep/er/1.png", "train/a b/x.webp", "train/a/x.bmp")
    assert open_class_set(tmp_path, "test").class_names == FolderFaces(tmp_path / "train").class_names


def test_words_name_the_classes(tmp_path: Path) -> None:
    write_files(tmp_path, *IMAGENET)
    text = "n03\tcrane\nn01\ttench, Tinca tinca\n\nn02\tcrane\nn09\tanother\n"
    (tmp_path / "synsets.tsv").write_text(text, encoding="utf-8")
    for split in ("train", "test"):
        assert open_class_set(tmp_path, split).class_names == ["tench, Tinca tinca", "crane (n02)", "crane (n03)"]


WORDS = [
    (b"n01\ta\nn02 b\nn03\tc\n", "line 2: a new synset, a tab and its words are needed"),
    (b"n01\ta\nn02\t\nn03\tc\n", "line 2: a new synset"),
    (b"n01\ta\n\nn01\tb\n", "line 3: a new synset"),
    (b"n01\ta\n", r"lacks 2 classes \(n02, n03\); add them, or remove the file"),
    (b"n01\t\xff\n", r"cannot be read \('utf-8' codec"),
]


@pytest.mark.parametrize(("content", "sentence"), WORDS)
def test_words_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    write_files(tmp_path, *IMAGENET)
    (tmp_path / "synsets.tsv").write_bytes(content)
    with pytest.raises(DataError, match=rf"synsets.tsv,? {sentence}"):
        open_class_set(tmp_path, "train")


@pytest.mark.parametrize(
    ("files", "used"),
    [
        (["train/a/1.jpg", "test/a/1.jpg", "val/a/1.jpg"], "test/a/1.jpg"),
        (["train/a/1.jpg", "test/1.jpg", "val/a/1.jpg"], "val/a/1.jpg"),
        (["train/a/1.jpg", "validation/a/1.jpg"], "validation/a/1.jpg"),
        (["val/a/1.jpg"], "val/a/1.jpg"),
    ],
)
def test_which_folder_serves_as_test(tmp_path: Path, files: list[str], used: str) -> None:
    assert locations(open_class_set(write_files(tmp_path, *files), "test")) == [used]


@pytest.mark.parametrize(
    ("files", "split", "names"),
    [
        (["train/a/1.jpg", "val/1.jpg"], "test", "test or val or validation"),
        (["train/a/1.jpg"], "test", "test or val or validation"),
        (["val/a/1.jpg"], "train", "train"),
    ],
)
def test_an_absent_split_is_named(tmp_path: Path, files: list[str], split: str, names: str) -> None:
    with pytest.raises(DataError, match=rf"has no {split} split, only the other one; put {names} next to it"):
        open_class_set(write_files(tmp_path, *files), split)


def test_an_absent_parquet_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no test split, only the other one"):
        open_class_set(write_shards(tmp_path, train=[0]), "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_subfolder_a_class_serves_as_either_split(tmp_path: Path, split: str) -> None:
    images = open_class_set(write_files(tmp_path, "dog/1.png", "cat/1.png", "train/1.png"), split)
    assert (images.class_names, images.labels.tolist()) == (["cat", "dog", "train"], [0, 1, 2])


@pytest.mark.parametrize("files", [[], ["notes.txt"], ["1.jpg"], ["a/notes.txt"], ["train/1.jpg", "val/1.jpg"]])
def test_an_unknown_layout_lists_the_supported_ones(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(DataError, match="holds no class set; these layouts are supported") as caught:
        open_class_set(write_files(tmp_path, *files), "train")
    for layout in ("cifar-10-batches-py", "cifar-100-binary", ".parquet", "train/CLASS/", "one subfolder per class"):
        assert layout in str(caught.value)


@pytest.mark.parametrize(("name", "state"), [("absent", "does not exist"), ("c.tar.gz", "is no Parquet file")])
def test_a_path_that_is_no_folder(tmp_path: Path, name: str, state: str) -> None:
    write_files(tmp_path, "c.tar.gz")
    with pytest.raises(DataError, match=rf"{name} {state}; these layouts are supported"):
        open_class_set(tmp_path / name, "train")


def test_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'tests' is no split of a class set; did you mean 'test'"):
        open_class_set(tmp_path, "tests")


def test_first_classes(tmp_path: Path) -> None:
    images = open_class_set(write_shards(tmp_path, train=[2, 0, 1, 2, 0, 1]), "train")
    subset = first_classes(images, 2)
    assert (subset.labels.tolist(), subset.class_names, subset.num_classes) == ([0, 1, 0, 1], ["a", "b"], 2)
    assert [subset.stored_bytes(index) for index in range(4)] == [b"train %d" % row for row in (1, 2, 4, 5)]
    assert (images.class_names, subset.location(3)) == (["a", "b", "c"], images.location(5))


def test_all_classes_are_the_set_itself(tmp_path: Path) -> None:
    images = open_class_set(write_shards(tmp_path, train=[2, 0, 1]), "train")
    assert first_classes(images, 3).fingerprint() == images.fingerprint()


@pytest.mark.parametrize("count", [-1, 0, 4])
def test_a_number_of_classes_that_is_not_there(tmp_path: Path, count: int) -> None:
    images = open_class_set(write_shards(tmp_path, train=[0]), "train")
    with pytest.raises(DataError, match=f"has 3 classes, not {count}; ask for 1 or more of them"):
        first_classes(images, count)


def test_first_classes_without_images(tmp_path: Path) -> None:
    images = open_class_set(write_shards(tmp_path, train=[2]), "train")
    with pytest.raises(DataError, match="has no image of its first 2 classes"):
        first_classes(images, 2)


REAL: dict[str, Any] = {
    "tiny100-32px": {"train": 50000, "test": 5000, "classes": 100, "first": "n01742172", "shape": (32, 32, 3)},
    "cifar10-jpeg": {"train": 20000, "test": 5000, "classes": 10, "first": "airplane", "shape": (32, 32, 3)},
    "imagenet-sample": {
        "train": 400, "test": 200, "classes": 20, "first": "boa constrictor, Constrictor constrictor",
        "shape": (64, 64, 3),
    },
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", REAL)
def test_real_sets(shared: Path, name: str, split: str) -> None:
    images, truth = open_class_set(shared / "classes" / name, split), REAL[name]
    assert (len(images), images.num_classes, images.class_names[0]) == (truth[split], truth["classes"], truth["first"])
    assert np.bincount(images.labels, minlength=images.num_classes).min() > 0
    pixels = images.pixels(len(images) - 1)
    assert (pixels.shape, pixels.dtype) == (truth["shape"], np.dtype(np.uint8)) and pixels.std() > 5


def test_the_first_twenty_classes_of_the_real_set(shared: Path) -> None:
    subset = first_classes(open_class_set(shared / "classes" / "tiny100-32px", "train"), 20)
    assert (len(subset), subset.num_classes) == (10000, 20)
    assert np.bincount(subset.labels).tolist() == [500] * 20


def test_the_real_parquet_reads_as_pyarrow_and_pillow_read_it(shared: Path) -> None:
    parquet, pillow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("PIL.Image")
    file = shared / "classes" / "tiny100-32px" / "test.parquet"
    images, rows = open_class_set(file, "test"), parquet.read_table(file).to_pylist()
    assert images.labels.tolist() == [row["label"] for row in rows]
    for index in (0, 1, 4999):
        truth = np.asarray(pillow.open(io.BytesIO(rows[index]["image"]["bytes"])).convert("RGB"), np.int64)
        assert np.abs(images.pixels(index) - truth).max() <= 2  # two JPEG decoders may round differently
