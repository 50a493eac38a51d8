"""The memory for packing, diagnosing and loading many records grows by at most 128 bytes per record.

Run as a program, ``python tests/data/test_memory.py FOLDER TASK``, this file performs one task in its own process and
prints the peak memory of the process in bytes.
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
from facekd.data.containers.recordio_format import RecordHeader, RecordWriter
from facekd.data.containers.recordio_writer import pack
from facekd.data.diagnosis.diagnose import diagnose
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces

PEOPLE = 1500
MAX_BYTES_PER_RECORD = 128


def numbered_jpeg(number: int) -> bytes:
    """Return a JPEG of 16 px and about 330 bytes; the number is in a comment, so that no two are equal."""
    return JPEGS[number % len(JPEGS)].replace(b"\xff\xd8", b"\xff\xd8\xff\xfe\x00\x0a%08d" % number, 1)


def noise_jpegs() -> list[bytes]:
    random = np.random.default_rng(0)
    noise = np.clip(random.integers(-30, 31, (8, 16, 16, 1)) + np.array([120, 150, 200]), 0, 255).astype(np.uint8)
    smallest = [cv2.IMWRITE_JPEG_QUALITY, 50, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return [cv2.imencode(".jpg", image, smallest)[1].tobytes() for image in noise]


JPEGS = noise_jpegs()


def write_records(folder: Path, count: int) -> Path:
    """Write records; of every 1,000 one repeats an image of the same person, and one that of another person."""
    folder.mkdir()
    with (folder / "train.rec").open("wb") as records, (folder / "train.idx").open("w") as index:
        writer = RecordWriter(records, index)
        for key in range(count):
            earlier = {250: PEOPLE, 500: 1}.get(key % 1000, 0)
            number = key - earlier if key >= earlier else key
            writer.write(key, RecordHeader(float(key % PEOPLE), key), numbered_jpeg(number))
    return folder


def run_pack(folder: Path) -> None:
    assert pack(open_faces(folder), folder / "packed").images == len(open_faces(folder))


def run_doctor(folder: Path) -> None:
    faces = open_faces(folder)
    counts = {finding.level: finding.count for finding in diagnose([faces], size=16).findings}
    assert counts == {"error": len(faces) // 1000, "warning": len(faces) // 1000 - 2}


def run_loader(folder: Path) -> None:
    faces = open_faces(folder)
    loader = Loader(faces, 16, batch_size=100, seed=0, augmentation=Flip(), decoded_cache_gib=0)
    seen = np.zeros(len(faces), np.uint8)
    for batch in loader.iter_epoch(0):
        seen[batch.index.numpy()] += 1
    assert (seen == 1).all()


TASKS: dict[str, Callable[[Path], None]] = {"pack": run_pack, "doctor": run_doctor, "load": run_loader}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("many")
    return [write_records(root / str(count), count) for count in (3_000, 12_000)]


@pytest.mark.parametrize("task", TASKS)
def test_allocated_memory_grows_by_few_bytes_a_record(folders: list[Path], task: str) -> None:
    peaks = []
    for folder in folders:
        tracemalloc.start()
        TASKS[task](folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 9_000 <= MAX_BYTES_PER_RECORD


@pytest.mark.soak
def test_a_million_records_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    folders = [write_records(tmp_path / str(count), count) for count in (250_000, 1_000_000)]
    for task in TASKS:
        small, large = (peak_memory(folder, task) for folder in folders)
        assert large < 1e9 and (large - small) / 750_000 <= MAX_BYTES_PER_RECORD, (task, small, large)


def peak_memory(folder: Path, task: str) -> int:
    """Return the peak memory in bytes of a process that performs one task."""
    process = subprocess.run([sys.executable, __file__, str(folder), task], check=True, stdout=subprocess.PIPE)
    return int(process.stdout)


if __name__ == "__main__":
    TASKS[sys.argv[2]](Path(sys.argv[1]))
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
