"""Memory of packing, examining and loading very many records: it may grow by 128 bytes a record, no more.

Run as a program, ``python tests/data/test_million.py FOLDER PART``, this file does one part in a process of its own and
prints the most memory that this held, in bytes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.containers.recordio import Header, RecordWriter
from facekd.data.containers.recordio_writer import pack
from facekd.data.diagnosis.diagnose import examine
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces

PEOPLE = 1500
ALLOWED = 128
"""Bytes a record."""


def picture(number: int) -> bytes:
    """A JPEG of 16 px of about 330 bytes, whose bytes differ from number to number."""
    return PICTURES[number % len(PICTURES)].replace(b"\xff\xd8", b"\xff\xd8\xff\xfe\x00\x0a%08d" % number, 1)


def _pictures() -> list[bytes]:
    random = np.random.default_rng(0)
    noise = np.clip(random.integers(-30, 31, (8, 16, 16, 1)) + np.array([120, 150, 200]), 0, 255).astype(np.uint8)
    smallest = [cv2.IMWRITE_JPEG_QUALITY, 50, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return [cv2.imencode(".jpg", image, smallest)[1].tobytes() for image in noise]


PICTURES = _pictures()


def write(folder: Path, count: int) -> Path:
    """Records of people in turn; of every 1,000 one repeats an image of the same person, and one that of another."""
    folder.mkdir()
    with (folder / "train.rec").open("wb") as records, (folder / "train.idx").open("w") as index:
        writer = RecordWriter(records, index)
        for key in range(count):
            earlier = {250: PEOPLE, 500: 1}.get(key % 1000, 0)
            writer.write(key, Header(float(key % PEOPLE), key), picture(key - earlier if key >= earlier else key))
    return folder


def packed(folder: Path) -> None:
    assert pack(open_faces(folder), folder / "packed").images == len(open_faces(folder))


def examined(folder: Path) -> None:
    faces = open_faces(folder)
    counts = {finding.level: finding.count for finding in examine([faces], size=16).findings}
    assert counts == {"error": len(faces) // 1000, "warning": len(faces) // 1000 - 2}


def loaded(folder: Path) -> None:
    faces = open_faces(folder)
    loader = Loader(faces, 16, 100, 0, Flip(), memory=0)
    seen = np.zeros(len(faces), np.uint8)
    for batch in loader.epoch(0):
        seen[batch.index.numpy()] += 1
    assert (seen == 1).all()


PARTS: dict[str, Callable[[Path], None]] = {"pack": packed, "doctor": examined, "load": loaded}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("many")
    return [write(root / str(count), count) for count in (3_000, 12_000)]


@pytest.mark.parametrize("part", PARTS)
def test_allocated_memory_grows_by_few_bytes_a_record(folders: list[Path], part: str) -> None:
    peaks = []
    for folder in folders:
        tracemalloc.start()
        PARTS[part](folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 9_000 <= ALLOWED


@pytest.mark.soak
def test_a_million_records_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(count), count) for count in (250_000, 1_000_000)]
    for part in PARTS:
        small, large = (in_a_process(folder, part) for folder in folders)
        assert large < 1e9 and (large - small) / 750_000 <= ALLOWED, (part, small, large)


def in_a_process(folder: Path, part: str) -> int:
    """The most bytes that a process held which did one part of the work."""
    ended = subprocess.run([sys.executable, __file__, str(folder), part], check=True, stdout=subprocess.PIPE)
    return int(ended.stdout)


if __name__ == "__main__":
    PARTS[sys.argv[2]](Path(sys.argv[1]))
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
