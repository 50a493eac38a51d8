"""The faces of a compression: crops from photographs and face sets, divided into training and held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from facekd.api.compress.job import Job
from facekd.api.data.align import align
from facekd.data.face_set import FaceSet
from facekd.data.image_header import read_image_size
from facekd.data.opening import open_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError
from facekd.io import files
from facekd.text import csv_cell
from facekd.utils.console import notify
from facekd.utils.progress import progress_bar

MAX_CROP_SIDE = 160
"""Square images of one size up to this side count as aligned crops; larger ones as photographs."""
SAMPLE = 64
"""Number of images of a set whose sizes are read."""
HELD_OUT_FRACTION = 0.05
MIN_HELD_OUT = 64
MAX_HELD_OUT = 1000
MIN_FACES = 256
"""The smallest number of crops from which a student is trained."""


def are_aligned(faces: FaceSet) -> bool:
    """Return whether a set holds aligned crops: square images of one size, at most `MAX_CROP_SIDE` pixels wide.

    Raises:
        DataError: an image cannot be read.
    """
    sample = np.unique(np.linspace(0, len(faces) - 1, min(SAMPLE, len(faces))).round().astype(int)).tolist()
    sizes = {read_image_size(faces.read(index)) for index in sample}
    size = next(iter(sizes))
    return len(sizes) == 1 and size is not None and size[0] == size[1] <= MAX_CROP_SIDE


def prepare_faces(job: Job, photos: Sequence[Path], aligned: bool | None) -> None:
    """Align the photographs among the sources, and divide all crops into training and held-out ones.

    Args:
        job: the compression.
        photos: the sources.
        aligned: whether they are aligned crops; None to tell by `are_aligned`.

    Raises:
        FacekdError: see `facekd.api.data.align.align` and `write_faces`.
    """
    crops = []
    detector = job.detector or (job.given if job.given.is_dir() and not job.teacher.has_route else None)
    for number, source in enumerate(photos):
        if are_aligned(open_faces(source)) if aligned is None else aligned:
            crops.append(source)
            continue
        target = job.out / "crops" / f"{number:02d}-{source.name}"
        command: list[str | Path] = ["facekd", "align", source, target, "--all-faces"]
        command += ["--detector", detector] if detector else []
        job.steps.run(f"align {source.name}", command, target,
                      partial(align, source, target, detector=detector, all_faces=True, device=job.device))
        crops.append(target)
    job.steps.run("divide the crops", [], job.train_faces,
                  lambda: write_faces(crops, job.out / "faces", job.teacher.size))


def write_faces(crops: Sequence[Path], out: Path, size: int) -> None:
    """Copy the crops of several face sets into ``out/train`` and ``out/held-out``; ``images.csv`` names their origin.

    Crops that cannot be decoded or are not square are left out and counted. The division is the same every time.

    Args:
        crops: face sets, in their order.
        out: the folder to write.
        size: the side of the teacher's input in pixels.

    Raises:
        DataError: fewer than `MIN_FACES` crops are left, or a set cannot be opened.
    """
    sets = [open_faces(path) for path in crops]
    images = [(faces, index) for faces in sets for index in range(len(faces))]
    lines = ["image,source\n"]
    problems: list[str] = []
    is_held_out = _draw_held_out(len(images))
    with files.atomic_folder(out, DataError) as folder:
        for name in ("train", "held-out"):
            (folder / name).mkdir()
        with progress_bar("copy", len(images)) as advance:
            for number, (faces, index) in enumerate(images):
                try:
                    data = faces.read(index)
                    decode_crop(data, size, faces.location(index))
                except DataError as error:
                    problems.append(str(error))
                else:
                    suffix = "png" if data.startswith(b"\x89PNG") else "jpg"
                    name = f"{'held-out' if is_held_out[number] else 'train'}/{number:08d}.{suffix}"
                    (folder / name).write_bytes(data)
                    lines.append(f"{name},{csv_cell(faces.location(index))}\n")
                advance(1, "")
        if len(lines) - 1 < MIN_FACES:
            raise DataError(f"{len(lines) - 1} usable crops are too few to train a student; give at least {MIN_FACES}, "
                            "better ten thousand or more")
        (folder / "images.csv").write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    if problems:
        notify(f"{len(problems)} of {len(images)} crops cannot be used and were left out, the first: {problems[0]}")


def _draw_held_out(count: int) -> list[bool]:
    held_out = min(max(MIN_HELD_OUT, round(HELD_OUT_FRACTION * count)), MAX_HELD_OUT)
    chosen = set(np.random.default_rng(0).permutation(count)[:held_out].tolist())
    return [number in chosen for number in range(count)]
