"""Align a folder of photographs: detect the largest face of each and write its aligned crop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.data import cv2
from facekd.data.alignment.align_list import AlignEntry, read_align_list, write_align_list
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.alignment.photographs import find_photographs, name_crops
from facekd.data.containers.path_list import abbreviate
from facekd.data.image_file import read_image_file
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
class AlignSummary:
    """The result of aligning a folder of photographs.

    Attributes:
        photographs: the number of photographs. Each is counted once in crops, no_face and unreadable.
        crops: the number of photographs with a crop in the output folder.
        reused: the number of these crops that an earlier run made.
        multiple_faces: photographs with more than one face; the largest was used. They count in ``crops`` too.
        no_face: photographs without a face.
        unreadable: files that do not decode as an image.
        ignored: the number of other files, including hidden files.
    """

    photographs: int
    crops: int
    reused: int
    multiple_faces: list[str]
    no_face: list[str]
    unreadable: list[str]
    ignored: int

    def describe(self) -> str:
        """Return the summary as text; it names photographs that should be checked."""
        lines = [
            f"{self.photographs} photographs, {self.crops} crops ({self.reused} from before), "
            f"{self.ignored} other files"
        ]
        groups = (
            ("without a face", self.no_face),
            ("unreadable", self.unreadable),
            ("with several faces, the largest taken", self.multiple_faces),
        )
        for description, names in groups:
            if names:
                lines.append(f"{len(names)} {description}: {abbreviate(names)}")
        return "\n".join(lines)


def align_folder(photos: Path, out: Path, detector: Detector, size: int = 112, png: bool = False) -> AlignSummary:
    """Align every photograph below a folder; crops are written to ``out`` under the same relative paths.

    If a photograph has several faces, the one with the largest box is used. ``PHOTOS/PERSON/any/depth.jpg`` becomes a
    face set; photographs directly in ``photos`` are aligned as well, but belong to no person. ``out/align.json`` lists
    for each photograph the crop, number of faces, score and landmarks, or the reason why there is no crop. Crops that
    are listed there and exist are not made again, so the same command resumes an interrupted run.

    Args:
        photos: the folder of photographs.
        out: the folder for the crops; it is created if absent.
        detector: the detector of faces and landmarks.
        size: the side of the crops in pixels, `MIN_SIZE` to `MAX_SIZE`.
        png: whether to write PNG (lossless) instead of JPEG of quality 95. ``.png`` or ``.jpg`` is appended to names
            that end differently.

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
    crops = name_crops(photographs, out, ".png" if png else ".jpg")
    check_writable(out, folder=True)
    settings = {"size": size, "png": png, "detector": detector.fingerprint}
    with lock_output(out):
        entries = read_align_list(out, settings)
        reused = [photo for photo in photographs
                  if photo in entries and entries[photo].problem is None and (out / crops[photo]).is_file()]
        remaining = sorted(set(photographs) - set(reused))
        progress = progress_bar("align", len(photographs), start=len(reused))
        with _saving(out, settings, entries) as save, progress as advance:
            for photo in remaining:
                entries[photo] = _align_photograph(photos / photo, out, crops[photo], detector, size)
                advance(1, "")
                save()
    found = {photo: entries[photo] for photo in photographs}
    return AlignSummary(
        photographs=len(photographs),
        crops=sum(entry.problem is None for entry in found.values()),
        reused=len(reused),
        multiple_faces=[photo for photo, entry in found.items() if entry.faces > 1],
        no_face=[photo for photo, entry in found.items() if entry.problem == "no face"],
        unreadable=[photo for photo, entry in found.items() if entry.problem == "unreadable"],
        ignored=ignored,
    )


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


def _align_photograph(photo: Path, out: Path, crop: str, detector: Detector, size: int) -> AlignEntry:
    """Write the crop of one photograph and return the photograph's entry for ``align.json``."""
    try:
        image = decode(read_image_file(photo), photo)
    except DataError:
        return AlignEntry(problem="unreadable")
    faces = detector(image)
    try:
        aligned = warp_face(image, faces[0].landmarks, size) if faces else None
    except DataError:  # landmarks that coincide or are not finite
        aligned = None
    if aligned is None:
        return AlignEntry(problem="no face")
    _, data = cv2.imencode(Path(crop).suffix, cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])
    files.write_bytes(out / crop, data.tobytes())
    points = [[round(float(value), 3) for value in point] for point in faces[0].landmarks]
    return AlignEntry(crop=crop, faces=len(faces), score=round(float(faces[0].score), 4), landmarks=points)
