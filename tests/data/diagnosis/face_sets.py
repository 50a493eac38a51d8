"""Small face sets with planted problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facekd.data import cv2
from facekd.data.containers.recordio_format import RecordHeader, RecordWriter
from facekd.data.diagnosis.diagnose import Diagnosis, diagnose
from facekd.data.diagnosis.finding import Finding
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.data.transforms import Crops

SKIN = (200, 150, 120)


def noise_jpeg(seed: int, width: int = 32, height: int = 32, color: Sequence[int] = SKIN) -> bytes:
    """Return a JPEG of noise around an RGB color."""
    noise = np.random.default_rng(seed).integers(-30, 31, (height, width, 1))
    image = np.clip(noise + np.array(color), 0, 255).astype(np.uint8)
    return encode_jpeg(image)


def encode_jpeg(image: Crops) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def write_image(root: Path, name: str, data: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def single_finding(diagnosis: Diagnosis) -> Finding:
    (finding,) = diagnosis.findings
    return finding


def diagnose_paths(*paths: Path, size: int | None = None, min_images: int = 2) -> Diagnosis:
    return diagnose([open_faces(path) for path in paths], size, min_images)


def record_set(folder: Path, labels: Sequence[float], ranges: Sequence[tuple[float, float]] = ()) -> FaceSet:
    """Write a RecordIO set with one image per label, and identity records with the given ranges."""
    folder.mkdir()
    count = len(labels)
    with (folder / "train.rec").open("wb") as rec, (folder / "train.idx").open("w") as index:
        writer = RecordWriter(rec, index)
        writer.write(0, RecordHeader(0.0, 0, vector=(count + 1.0, count + 1.0 + len(ranges))), b"")
        for key, label in enumerate(labels, 1):
            writer.write(key, RecordHeader(label, key), noise_jpeg(key))
        for key, span in enumerate(ranges, count + 1):
            writer.write(key, RecordHeader(0.0, key, vector=span), b"")
    return open_faces(folder)


def write_people(root: Path, names: Sequence[str], seed: int) -> Path:
    """Write a folder with two images per person."""
    for number, name in enumerate(names):
        for image in range(2):
            write_image(root, f"{name}/{image}.jpg", noise_jpeg(seed + 10 * number + image))
    return root
