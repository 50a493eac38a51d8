"""Face sets and class sets in the containers of other programs."""

from __future__ import annotations

import io
import pickle
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from facekd.data.containers.class_set import open_class_set
from facekd.data.containers.path_list import ListedImages, read_path_list
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.containers.recordio_format import RecordHeader, RecordWriter
from facekd.data.containers.recordio_index import read_index
from facekd.data.image_set import ImageSet
from facekd.data.loading.unreadable import UnreadableImages
from facekd.data.opening import open_faces
from facekd.errors import DataError
from tests.fuzz.parser import Files, Parser, collect
from tests.fuzz.parsers.pictures import noise, picture


def use(images: ImageSet) -> None:
    """Touch what an image set promises for some of its images: bytes, pixels, name, location and fingerprint."""
    assert len(images.labels) == len(images) and images.labels.min() >= 0
    for index in (0, len(images) // 2, len(images) - 1):
        images.location(index)
        images.image_name(index)
        images.stored_bytes(index)
    images.fingerprint()
    images.pixels(0)


def _record_seeds(folder: Path) -> Sequence[Files]:
    for name, with_ranges in (("insightface", True), ("plain", False)):
        place = folder / name
        place.mkdir()
        with (place / "train.rec").open("wb") as records, (place / "train.idx").open("w", newline="\n") as index:
            writer = RecordWriter(records, index)
            first = int(with_ranges)
            if with_ranges:
                writer.write(0, RecordHeader(0.0, 0, 0, (7.0, 9.0)))
            for number in range(6):
                label = RecordHeader(number // 3, number, 0, (float(number // 3), 0.0) if number == 5 else ())
                writer.write(number + first, label, picture(number))
            if with_ranges:
                writer.write(7, RecordHeader(0.0, 7, 0, (1.0, 4.0)))
                writer.write(8, RecordHeader(0.0, 8, 0, (4.0, 7.0)))
        (place / "property").write_text("2,12,12\n")
        (place / "names.txt").write_text("anna\nbea\n")
    return [collect(folder / name) for name in ("insightface", "plain")]


def _read_record(folder: Path) -> None:
    faces = RecordFaces(folder / "train.rec")
    faces.identity_ranges  # noqa: B018 (read when it is first asked for)
    use(faces)


def _index_seeds(folder: Path) -> Sequence[Files]:
    lines = [b"%d\t%d\n" % (number, 96 * number) for number in range(40)]
    return [{"train.idx": b"".join(lines)}, {"train.idx": b"0 0\r\n7 100\r\n3 52\r\n"}]


def _tar_seeds(folder: Path) -> Sequence[Files]:
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode="w", format=form) as tar:
            for number in range(4):
                label = b"%d" % (number % 2) if number < 2 else b'{"label": %d, "name": "a"}' % (number % 2)
                key = f"{'long/' * 30 if form != tarfile.USTAR_FORMAT else ''}{number:04d}"
                for ending, content in ((".png", picture(number)), (".cls" if number < 2 else ".json", label)):
                    info = tarfile.TarInfo(key + ending)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        seeds.append({"shard.tar": output.getvalue().rstrip(b"\0") + bytes(1024)})
        seeds[-1]["shard.tar"] += bytes(-len(seeds[-1]["shard.tar"]) % 512)
    return seeds


def _parquet_seeds(folder: Path) -> Sequence[Files]:
    images = [{"bytes": picture(number), "path": f"{number}.png"} for number in range(6)]
    labels = [0, 1, 2, 0, 1, 2]
    about = (b'{"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}', None)
    for number, (metadata, codec) in enumerate(((about[0], "NONE"), (None, "SNAPPY"), (about[0], "ZSTD"))):
        table = arrow.table({"image": images, "label": labels})
        if metadata:
            table = table.replace_schema_metadata({b"huggingface": metadata})
        parquet.write_table(table, folder / f"{number}.parquet", compression=codec, row_group_size=3 + number,
                            use_dictionary=number > 0)
    return [{"train.parquet": (folder / f"{number}.parquet").read_bytes()} for number in range(3)]


def _lmdb_seeds(folder: Path) -> Sequence[Files]:
    pickled = {b"%d" % number: pickle.dumps((picture(number), number % 2), 2 + number % 3) for number in range(4)}
    keys = pickle.dumps(list(pickled), 2)
    paths = {b"anna/%d.png" % number: picture(number) for number in range(3)} | {b"bea/x.png": picture(5)}
    return [{"__keys__": keys, **{f"v{key.decode()}": value for key, value in pickled.items()}},
            {f"v{key.decode().replace('/', '+')}": value for key, value in paths.items()}]


def _read_lmdb(folder: Path) -> None:
    """Write an environment from the files, because damage to LMDB's own pages kills the process in its library."""
    files = collect(folder)
    (folder / "set").mkdir()
    with lmdb.open(str(folder / "set"), map_size=1 << 22, sync=False) as environment, environment.begin(
            write=True) as transaction:
        for name, value in files.items():
            key = name if name == "__keys__" else name[1:].replace("+", "/")
            transaction.put(key.encode(), value[: 1 << 19])
    use(open_faces(folder / "set"))


def _cifar(data: bytes, labels: list[int], key: str, protocol: int) -> bytes:
    planes = np.frombuffer(data, np.uint8).reshape(-1, 3072)
    return pickle.dumps({b"data": planes, key.encode(): labels, b"filenames": [b"x.png"] * len(labels)}, protocol)


def _cifar_python_seeds(folder: Path) -> Sequence[Files]:
    planes = b"".join(noise(32, seed=number).tobytes() for number in range(2))
    ten = {f"data_batch_{number}": _cifar(planes, [number, 9], "labels", 2) for number in range(1, 6)}
    ten |= {"test_batch": _cifar(planes, [0, 1], "labels", 2)}
    ten |= {"batches.meta": pickle.dumps({b"label_names": [b"c%d" % number for number in range(10)]}, 0)}
    hundred = {name: _cifar(planes, [99, 0], "fine_labels", 4) for name in ("train", "test")}
    hundred |= {"meta": pickle.dumps({"fine_label_names": [f"c{number}" for number in range(100)]}, 4)}
    return [ten, hundred]


def _cifar_binary_seeds(folder: Path) -> Sequence[Files]:
    pixels = noise(32).tobytes()
    ten: dict[str, bytes] = {f"data_batch_{number}.bin": b"\x03" + pixels + b"\x09" + pixels for number in range(1, 6)}
    ten |= {"test_batch.bin": b"\x00" + pixels, "batches.meta.txt": b"\n".join(b"c%d" % number for number in range(10))}
    hundred = {"train.bin": b"\x01\x63" + pixels, "test.bin": b"\x01\x00" + pixels,
               "fine_label_names.txt": b"\n".join(b"c%d" % number for number in range(100)) + b"\n"}
    return [ten, hundred]


def _read_class_set(folder: Path) -> None:
    use(open_class_set(folder, "train"))
    use(open_class_set(folder, "test"))


def _synset_seeds(folder: Path) -> Sequence[Files]:
    images = {f"{split}/{name}/0.png": picture() for split in ("train", "val") for name in ("n01", "n02", "n03")}
    words = "n01\tcrane\nn02\tcrane, bird\nn03\tcrane\nn04\ttench, Tinca tinca\n"
    return [{**images, "synsets.tsv": words.encode()}]


def _list_seeds(folder: Path) -> Sequence[Files]:
    images = {f"images/{name}": picture(number) for number, name in enumerate(("a/1.png", "a/2.png", "b c/1.png"))}
    lists = (b"a/1.png\na/2.png\nb c/1.png\n", b"  a/2.png\r\n\r\na/1.png")
    return [{**images, "list.txt": content} for content in lists]


def _read_list(folder: Path) -> None:
    use(ListedImages(folder / "images", read_path_list(folder / "list.txt")))


def _unreadable_seeds(folder: Path) -> Sequence[Files]:
    return [{"unreadable.txt": b"a/1.png\n/work/x y.jpg\n"}]


def _read_unreadable(folder: Path) -> None:
    if (folder / "unreadable.txt").exists():
        shutil.copyfile(folder / "unreadable.txt", folder / "log.txt")
    UnreadableImages(folder / "log.txt", 10).add("b/2.png", DataError("b/2.png does not decode"))


PARSERS = [
    Parser("recordio", ["data/containers/recordio.py", "data/containers/recordio_faces.py", "data/opening.py"],
           _record_seeds, _read_record, {"*.rec": "recordio", "*.idx": "text", "property": "text",
                                         "names.txt": "text"}),
    Parser("rec_index", ["data/containers/recordio_index.py"], _index_seeds,
           lambda folder: read_index(folder / "train.idx"), {"*.idx": "text"}),
    Parser("webdataset_tar", ["data/containers/webdataset.py"], _tar_seeds, lambda folder: use(open_faces(folder)),
           {"*.tar": "tar"}),
    Parser("parquet", ["data/containers/parquet.py"], _parquet_seeds,
           lambda folder: use(open_class_set(folder, "train")), {"*.parquet": "parquet"}),
    Parser("lmdb", ["data/containers/lmdb.py"], _lmdb_seeds, _read_lmdb, {"*": "pickle"}, scratch=["set"]),
    Parser("cifar_python", ["data/containers/cifar.py"], _cifar_python_seeds, _read_class_set, {"*": "pickle"}),
    Parser("cifar_binary", ["data/containers/cifar.py"], _cifar_binary_seeds, _read_class_set,
           {"*.txt": "text", "*": "binary"}),
    Parser("class_folders", ["data/containers/class_set.py", "data/containers/image_folder.py"], _synset_seeds,
           _read_class_set,
           {"synsets.tsv": "text", "train/n01/*": "image"}),
    Parser("image_list", ["data/containers/path_list.py", "data/image_file.py"], _list_seeds, _read_list,
           {"list.txt": "text"}),
    Parser("unreadable_list", ["data/loading/unreadable.py"], _unreadable_seeds, _read_unreadable,
           {"unreadable.txt": "text"}, scratch=["log.txt"]),
]
