"""Parquet image sets, written with pyarrow in the common layouts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.containers.parquet import ParquetImages, _Shard
from facekd.errors import DataError, SetupError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1])


def hub_metadata(label: str, names: Any) -> dict[str, str]:
    """Return the metadata that Hugging Face's datasets library writes."""
    features = {"image": {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(
    path: Path, labels: Any, metadata: dict[str, str] | None = None, image: str = "image", label: str = "label",
    images: Any = None, kind: Any = None, rows: int = 2,
) -> Path:
    kind = kind or arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    rows_of_images = images or [{"bytes": png(row), "path": f"{row}.png"} for row in range(len(labels))]
    table = arrow.table({image: arrow.array(rows_of_images, kind), label: arrow.array(labels)})
    parquet.write_table(table.replace_schema_metadata(metadata), path, row_group_size=rows)
    return path


def open_one(path: Path) -> ParquetImages:
    return ParquetImages(path, [path])


def test_labels_and_names(tmp_path: Path) -> None:
    images = open_one(write(tmp_path / "a.parquet", [1, 0, 1, 2, 0], hub_metadata("label", ["cat", "dog", "owl"])))
    assert (images.labels.tolist(), images.class_names) == ([1, 0, 1, 2, 0], ["cat", "dog", "owl"])
    assert images.labels.dtype == np.int64


def test_content_is_the_encoded_image(tmp_path: Path) -> None:
    images = open_one(write(tmp_path / "a.parquet", [0] * 5))
    assert [images.stored_bytes(index) for index in range(5)] == [png(row) for row in range(5)]


def test_pixels_are_rgb(tmp_path: Path) -> None:
    images = open_one(write(tmp_path / "a.parquet", [0] * 3))
    truth = np.random.default_rng(2).integers(0, 256, (8, 6, 3), np.uint8)[..., ::-1]
    np.testing.assert_array_equal(images.pixels(2), truth)


@pytest.mark.parametrize("image", ["image", "img"])
@pytest.mark.parametrize("label", ["label", "fine_label"])
def test_columns_of_either_name(tmp_path: Path, image: str, label: str) -> None:
    images = open_one(write(tmp_path / "a.parquet", [1, 0], hub_metadata(label, ["a", "b"]), image, label))
    assert (images.labels.tolist(), images.class_names, images.stored_bytes(1)) == ([1, 0], ["a", "b"], png(1))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64"])
def test_labels_of_any_integer_type(tmp_path: Path, kind: str) -> None:
    labels = arrow.array([0, 2], getattr(arrow, kind)())
    assert open_one(write(tmp_path / "a.parquet", labels)).labels.tolist() == [0, 2]


def test_large_binary(tmp_path: Path) -> None:
    kind = arrow.struct([("path", arrow.string()), ("bytes", arrow.large_binary())])
    assert open_one(write(tmp_path / "a.parquet", [0, 1, 0], kind=kind)).stored_bytes(2) == png(2)


def test_names_with_commas_in_hugging_faces_metadata(tmp_path: Path) -> None:
    names = ["tench, Tinca tinca", "goldfish"]
    assert open_one(write(tmp_path / "a.parquet", [0], hub_metadata("label", names))).class_names == names


def test_names_separated_by_commas(tmp_path: Path) -> None:
    assert open_one(write(tmp_path / "a.parquet", [0], {"classes": "a, b,c"})).class_names == ["a", "b", "c"]


@pytest.mark.parametrize(
    "metadata", [None, {"huggingface": "{}"}, hub_metadata("other", ["x"]), hub_metadata("label", None)]
)
def test_without_names_the_labels_are_the_names(tmp_path: Path, metadata: Any) -> None:
    assert open_one(write(tmp_path / "a.parquet", [0, 2], metadata)).class_names == ["0", "1", "2"]


def test_shards_follow_each_other(tmp_path: Path) -> None:
    files = []
    for shard in range(3):
        images_of_shard = [{"bytes": png(10 * shard + k)} for k in range(3)]
        files.append(write(tmp_path / f"{shard}.parquet", [shard] * 3, images=images_of_shard))
    images = ParquetImages(tmp_path, files)
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [images.stored_bytes(index) for index in (0, 2, 3, 8)] == [png(0), png(2), png(10), png(22)]
    assert [images.location(index).removeprefix(f"{tmp_path}/") for index in (2, 3)] == [
        "0.parquet, row 2 (counted from 0)", "1.parquet, row 0 (counted from 0)",
    ]


def test_how_rows_are_grouped_leaves_the_fingerprint(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{rows}.parquet", [0, 1, 2, 0, 1], rows=rows) for rows in (1, 2, 9)]
    fingerprints = [open_one(path).fingerprint() for path in paths]
    assert fingerprints[0] == fingerprints[1] == fingerprints[2]


def test_an_empty_shard_is_harmless(tmp_path: Path) -> None:
    empty = write(tmp_path / "b.parquet", arrow.array([], arrow.int64()))
    images = ParquetImages(tmp_path, [write(tmp_path / "a.parquet", [0]), empty, write(tmp_path / "c.parquet", [1])])
    assert (images.labels.tolist(), images.location(1)) == ([0, 1], f"{tmp_path}/c.parquet, row 0 (counted from 0)")


def test_a_set_without_an_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet holds no image \(in 1 Parquet files\)"):
        open_one(write(tmp_path / "a.parquet", arrow.array([], arrow.int64())))


def test_labels_of_the_other_split_count_where_no_file_has_names(tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.parquet", [0, 3]), write(tmp_path / "test.parquet", [1])
    assert ParquetImages(tmp_path, [test], [train]).class_names == ["0", "1", "2", "3"]


def test_names_of_the_other_split_serve_a_file_without_any(tmp_path: Path) -> None:
    train = write(tmp_path / "train.parquet", [0], {"classes": "a,b"})
    assert ParquetImages(tmp_path, [write(tmp_path / "test.parquet", [1])], [train]).class_names == ["a", "b"]


def test_splits_with_different_names_are_refused(tmp_path: Path) -> None:
    train, test = (write(tmp_path / f"{name}.parquet", [0], {"classes": name}) for name in ("a,b", "b,a"))
    with pytest.raises(DataError, match=r"b,a.parquet and .*a,b.parquet name different classes"):
        ParquetImages(tmp_path, [test], [train])


@pytest.mark.parametrize(("label", "more"), [(2, ""), (-1, r" \(-1 marks images whose class is kept secret")])
def test_a_label_out_of_range_is_named(tmp_path: Path, label: int, more: str) -> None:
    path = write(tmp_path / "a.parquet", [0, 1, label], {"classes": "a,b"})
    sentence = rf"row 2 \(counted from 0\) has the label {label}, the classes are 0 to 1; 1 of 3 images are like this"
    with pytest.raises(DataError, match=sentence + more):
        open_one(path)


def test_a_missing_label_is_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet: 2 of 3 rows have no 'label'"):
        open_one(write(tmp_path / "a.parquet", [0, None, None]))


@pytest.mark.parametrize("missing", [None, {"bytes": None, "path": "elsewhere.png"}])
def test_an_image_without_bytes_is_named(tmp_path: Path, missing: Any) -> None:
    images = [{"bytes": png(0)}, {"bytes": png(1)}, {"bytes": png(2)}, missing, missing]
    with pytest.raises(DataError, match=r"a.parquet, row 3 \(counted from 0\) has no bytes, as 1 others"):
        open_one(write(tmp_path / "a.parquet", [0] * 5, images=images))


def test_bytes_that_are_no_image_are_named_when_they_are_used(tmp_path: Path) -> None:
    images = open_one(write(tmp_path / "a.parquet", [0, 0], images=[{"bytes": png(0)}, {"bytes": b"no image"}]))
    with pytest.raises(DataError, match=r"a.parquet, row 1 \(counted from 0\) does not decode as an image"):
        images.pixels(1)


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ([0.0], {}),
        (["cat"], {}),
        ([0], {"label": "class"}),
        ([0], {"image": "picture"}),
        ([0], {"images": [b"x"], "kind": arrow.binary()}),
        ([0], {"images": [{"path": "x"}], "kind": arrow.struct([("path", arrow.string())])}),
        ([0], {"images": [{"bytes": "x"}], "kind": arrow.struct([("bytes", arrow.string())])}),
    ],
)
def test_other_columns_are_shown(tmp_path: Path, labels: Any, options: Any) -> None:
    path = write(tmp_path / "a.parquet", labels, **options)
    with pytest.raises(DataError, match=r"a.parquet has the columns \w+: .*; an image column \(image or img"):
        open_one(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"version https://git-lfs.github.com/spec/v1\n" * 9])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.parquet cannot be read as Parquet \(.*get it again"):
        open_one(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0] * 9)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_one(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.parquet does not exist"):
        open_one(tmp_path / "a.parquet")


@pytest.mark.parametrize("metadata", ["{", "[]", '{"info": null}', "[" * 100000])
def test_damaged_metadata_are_named(tmp_path: Path, metadata: str) -> None:
    with pytest.raises(DataError, match=r"a.parquet: the schema's metadata are damaged"):
        open_one(write(tmp_path / "a.parquet", [0], {"huggingface": metadata}))


@pytest.mark.parametrize("names", ["cat", [1, 2], {"0": "cat"}])
def test_names_that_are_no_texts(tmp_path: Path, names: Any) -> None:
    with pytest.raises(DataError, match="the names of the classes in the metadata are no list of texts"):
        open_one(write(tmp_path / "a.parquet", [0], hub_metadata("label", names)))


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", [0])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r"a.parquet needs pyarrow: pip install 'facekd\[parquet\]'"):
        open_one(path)


def test_a_damaged_column_name_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1])
    path.write_bytes(path.read_bytes().replace(b"label", b"lab\xffl"))
    with pytest.raises(DataError, match=r"a\.parquet (cannot be read as Parquet|has the columns)"):
        open_one(path)


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    table = arrow.table([arrow.array([0]), arrow.array([0])], names=["label", "label"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has the columns label: int64, label: int64; an image column"):
        open_one(tmp_path / "a.parquet")


def test_columns_of_different_length_are_refused_on_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", [0, 1, 0])
    real = _Shard.read_labels
    monkeypatch.setattr(_Shard, "read_labels", lambda self: real(self)[:2])
    with pytest.raises(DataError, match=r"a\.parquet has 3 images and 2 labels"):
        open_one(path)


def test_a_few_bytes_that_stand_for_many_images_are_refused(tmp_path: Path) -> None:
    image = np.random.default_rng(0).bytes(500_000)
    path = write(tmp_path / "a.parquet", [0] * 900, images=[{"bytes": image}] * 900, rows=900)
    assert path.stat().st_size < 10**6
    with pytest.raises(DataError, match="its images take more than 10 times the memory of the file"):
        open_one(path)


def test_more_rows_than_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0] * 100_000, images=[{"bytes": b"x"}] * 100_000, rows=100_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="100,000 rows do not fit into its bytes"):
        open_one(path)


def test_a_label_that_is_no_number_of_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has the label 1000000000000, which is no number of a class"):
        open_one(write(tmp_path / "a.parquet", [0, 10**12]))


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1])
    moved = tmp_path / os.fsdecode(b"\xff\xfe.parquet")
    path.rename(moved)
    assert open_one(moved).stored_bytes(1) == png(1)
