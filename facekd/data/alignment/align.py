"""Align a folder of photographs: detect the largest face of each and write its aligned crop."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.data import cv2
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.landmarks import warp_face
from facekd.data.containers.image_folder import EXTENSIONS
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils import files
from facekd.utils.progress import progress_bar

VERSION = 1
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
                lines.append(f"{len(names)} {description}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
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
        size: the side of the crops in pixels.
        png: whether to write PNG (lossless) instead of JPEG of quality 95. ``.png`` or ``.jpg`` is appended to names
            that end differently.

    Raises:
        DataError: there are no photographs; one folder contains the other; or ``out`` holds crops made with other
            settings.
    """
    photographs, ignored = _find_photographs(photos)
    if out.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{out} and {photos} contain one another; give a folder apart from the photographs")
    settings = {"size": size, "png": png, "detector": detector.fingerprint}
    entries = _read_entries(out / "align.json", settings)
    crops = {photo: _crop_name(photo, ".png" if png else ".jpg") for photo in photographs}
    duplicates = [name for name, count in Counter(crops.values()).items() if count > 1]
    if duplicates:
        raise DataError(f"two photographs would both become {out / duplicates[0]}; rename one of them")
    reused = [photo for photo in photographs if "crop" in entries.get(photo, {}) and (out / crops[photo]).is_file()]
    remaining = sorted(set(photographs) - set(reused))
    with progress_bar("align", len(photographs), start=len(reused)) as advance:
        last_save = time.monotonic()
        for photo in remaining:
            entries[photo] = _align_photograph(photos / photo, out, crops[photo], detector, size)
            advance(1, "")
            if time.monotonic() - last_save > SAVE_INTERVAL:
                _save(out, settings, entries)
                last_save = time.monotonic()
    _save(out, settings, entries)
    problems = {photo: entries[photo].get("problem") for photo in photographs}
    return AlignSummary(
        photographs=len(photographs),
        crops=sum(problem is None for problem in problems.values()),
        reused=len(reused),
        multiple_faces=[photo for photo in photographs if entries[photo].get("faces", 0) > 1],
        no_face=[photo for photo in photographs if problems[photo] == "no face"],
        unreadable=[photo for photo in photographs if problems[photo] == "unreadable"],
        ignored=ignored,
    )


def _align_photograph(photo: Path, out: Path, crop: str, detector: Detector, size: int) -> dict[str, Any]:
    """Write the crop of one photograph and return the photograph's entry for ``align.json``."""
    try:
        image = decode(photo.read_bytes(), str(photo))
    except (DataError, OSError):
        return {"problem": "unreadable"}
    faces = detector(image)
    if not faces:
        return {"problem": "no face"}
    bgr = cv2.cvtColor(warp_face(image, faces[0].landmarks, size), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(Path(crop).suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    files.write_bytes(out / crop, data.tobytes())
    points = [[round(float(value), 3) for value in point] for point in faces[0].landmarks]
    return {"crop": crop, "faces": len(faces), "score": round(faces[0].score, 4), "landmarks": points}


def _crop_name(photo: str, extension: str) -> str:
    """Return the name of a photograph, with the extension appended unless the name has an equivalent one."""
    equivalent = {".jpg": (".jpg", ".jpeg"), ".png": (".png",)}[extension]
    return photo if photo.lower().endswith(equivalent) else photo + extension


def _find_photographs(photos: Path) -> tuple[list[str], int]:
    """Return the sorted relative paths of the images below a folder, and the number of other files."""
    if not photos.is_dir():
        raise DataError(f"{photos} is not a folder; give the folder with the photographs, one subfolder per person")
    photographs = []
    ignored = 0
    for folder, _, names in os.walk(photos, followlinks=True):
        for name in names:
            path = Path(folder, name).relative_to(photos)
            hidden = any(component.startswith(".") for component in path.parts)
            if not hidden and path.suffix.lower() in EXTENSIONS:
                photographs.append(path.as_posix())
            else:
                ignored += 1
    if not photographs:
        extensions = ", ".join(sorted(EXTENSIONS))
        raise DataError(f"{photos} holds no photographs ({ignored} other files); they end in {extensions}")
    return sorted(photographs), ignored


def _read_entries(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of an earlier run, which must have used the same settings."""
    if not path.exists():
        return {}
    earlier = files.read_versioned(path, "align", VERSION, DataError)
    for key, value in settings.items():
        if earlier.get(key) != value:
            raise DataError(
                f"{path.parent} holds crops made with {key} {earlier.get(key)}, now it is {value}; give another folder"
            )
    return dict(earlier["photographs"])


def _save(out: Path, settings: dict[str, Any], entries: dict[str, dict[str, Any]]) -> None:
    files.write_versioned(out / "align.json", "align", VERSION, {**settings, "photographs": entries})
