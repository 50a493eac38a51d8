"""Align a folder of photographs: detect the faces of each and write their aligned crops."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from facekd.data import cv2
from facekd.data.alignment.align_list import AlignEntry, FaceCrop, read_align_list, write_align_list
from facekd.data.alignment.align_summary import AlignSummary, summarize
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.alignment.photographs import MAX_FACES, find_photographs, name_crops, name_face
from facekd.data.image_file import read_image_file
from facekd.data.prefetch import prefetch
from facekd.data.transforms import decode
from facekd.errors import DataError, FacekdError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.text import path_text, short_repr
from facekd.utils.progress import progress_bar

MIN_SIZE = 16
MAX_SIZE = 2048
"""Sides of a crop in pixels."""
SAVE_INTERVAL = 60.0
"""Seconds between two writes of ``align.json``; an interrupted run repeats at most this much work."""


@dataclass(frozen=True)
class _Settings:
    """How crops are made; `align.json` holds the values, so that a folder never mixes them."""

    size: int
    png: bool
    all_faces: bool
    detector: str


def align_folder(photos: Path, out: Path, detector: Detector, size: int = 112, *, png: bool = False,
                 all_faces: bool = False, workers: int = 1) -> AlignSummary:
    """Align every photograph below a folder; crops are written to ``out`` under the same relative paths.

    If a photograph has several faces, the one with the largest box is used, or each of them. ``PHOTOS/PERSON/any/
    depth.jpg`` becomes a face set; photographs directly in ``photos`` are aligned as well, but belong to no person.
    ``out/align.json`` lists for each photograph the number of faces, and crop, score and landmarks of each, or the
    reason why there is no crop. Photographs whose crops are listed there and exist are not processed again, so the same
    command resumes an interrupted run.

    Args:
        photos: the folder of photographs.
        out: the folder for the crops; it is created if absent.
        detector: the detector of faces and landmarks.
        size: the side of the crops in pixels, `MIN_SIZE` to `MAX_SIZE`.
        png: whether to write PNG (lossless) instead of JPEG of quality 95. ``.png`` or ``.jpg`` is appended to names
            that end differently.
        all_faces: whether every face becomes a crop. That of the largest face has the name that it has alone, the
            others follow by area, see `name_face`.
        workers: number of photographs that are processed at once; the crops do not depend on it.

    Raises:
        DataError: the size is out of range; there are no photographs; one folder contains the other; two photographs
            have one crop, or its name is too long; or ``out`` holds crops made with other settings.
        SetupError: the crops cannot be written, or another process writes them.
    """
    check_size(size)
    photographs, ignored = find_photographs(photos)
    if out.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{path_text(out)} and {path_text(photos)} contain one another; give a folder apart from the "
                        "photographs")
    crops = name_crops(photographs, out, ".png" if png else ".jpg", all_faces)
    check_writable(out, folder=True)
    settings = _Settings(size, png, all_faces, detector.fingerprint)
    with lock_output(out):
        entries = read_align_list(out, asdict(settings))
        reused = [photo for photo in photographs if photo in entries and _has_crops(entries[photo], out)]
        remaining = sorted(set(photographs) - set(reused))
        names = {photo: crops[photo] for photo in remaining}
        done = _align_photographs(photos, out, names, detector, settings, workers)
        with (
            closing(done),  # threads that still write crops end before the lock does
            _saving(out, asdict(settings), entries) as save,
            progress_bar("align", len(photographs), start=len(reused)) as advance,
        ):
            for photo, entry in done:
                entries[photo] = entry
                advance(1, "")
                save()
    return summarize({photo: entries[photo] for photo in photographs}, reused, ignored, all_faces)


def _has_crops(entry: AlignEntry, out: Path) -> bool:
    # Unlike Path.is_file, os.path.isfile takes names that no file system holds, which a damaged list may have.
    return bool(entry.crops) and all(os.path.isfile(out / face.crop) for face in entry.crops)


def check_size(size: int) -> None:
    """Refuse a side of crops that no network has.

    Raises:
        DataError: the size is below `MIN_SIZE` or above `MAX_SIZE`.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"crops of {short_repr(size)} pixels cannot be made; give a size of {MIN_SIZE} to {MAX_SIZE}, "
                        "for example 112")


@contextmanager
def _saving(out: Path, settings: dict[str, Any], entries: dict[str, AlignEntry]) -> Iterator[Callable[[], None]]:
    """Write ``align.json`` every `SAVE_INTERVAL` seconds at a call of what is yielded, and however the block ends."""
    last_save = time.monotonic()

    def save() -> None:
        nonlocal last_save
        if time.monotonic() - last_save > SAVE_INTERVAL:
            write_align_list(out, settings, entries)
            last_save = time.monotonic()

    try:
        yield save
    except BaseException:
        with suppress(FacekdError):  # the first error is the one to report
            write_align_list(out, settings, entries)
        raise
    write_align_list(out, settings, entries)


def _align_photographs(photos: Path, out: Path, crops: dict[str, str], detector: Detector, settings: _Settings,
                       workers: int) -> Generator[tuple[str, AlignEntry], None, None]:
    """Yield photographs and their entries in the order of ``crops``, while threads process the next ones."""
    names = list(crops)
    detectors: SimpleQueue[Detector] = SimpleQueue()
    for number in range(min(workers, len(names))):
        detectors.put(detector.clone() if number else detector)

    def process(index: int) -> AlignEntry:
        """Align one photograph with a detector that no other thread uses meanwhile."""
        own = detectors.get()
        try:
            return _align_photograph(photos / names[index], out, crops[names[index]], own, settings)
        finally:
            detectors.put(own)

    for name, [entry] in zip(names, prefetch(process, len(names), 1, threads=workers), strict=True):
        yield name, entry


def _align_photograph(photo: Path, out: Path, crop: str, detector: Detector, settings: _Settings) -> AlignEntry:
    """Write the crops of one photograph and return the photograph's entry for ``align.json``."""
    try:
        image = decode(read_image_file(photo), photo)
    except DataError:
        return AlignEntry(problem="unreadable")
    faces = detector(image)
    crops: list[FaceCrop] = []
    for face in faces[: MAX_FACES if settings.all_faces else 1]:
        try:
            aligned = warp_face(image, face.landmarks, settings.size)
        except DataError:  # landmarks that coincide or are not finite
            continue
        name = name_face(crop, len(crops) + 1) if crops else crop
        _, data = cv2.imencode(Path(crop).suffix, cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR),
                               [cv2.IMWRITE_JPEG_QUALITY, 95])
        files.write_bytes(out / name, data.tobytes())
        points = [[round(float(value), 3) for value in point] for point in face.landmarks]
        crops.append(FaceCrop(crop=name, score=round(float(face.score), 4), landmarks=points))
    return AlignEntry(faces=len(faces), crops=crops) if crops else AlignEntry(problem="no face")
