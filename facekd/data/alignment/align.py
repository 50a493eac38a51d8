"""From a folder of photographs to a folder of aligned crops."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facekd.data import cv2
from facekd.data.alignment.detector import Detector
from facekd.data.alignment.landmarks import similarity, template, warp
from facekd.data.containers.image_folder import EXTENSIONS
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils import files
from facekd.utils.progress import progress

__all__ = ["AlignSummary", "align_folder", "similarity", "template", "warp"]

VERSION = 1
SAVE_EVERY = 60.0
"""Seconds between two writings of ``align.json``: what a killed run has to do again."""


@dataclass(frozen=True)
class AlignSummary:
    """What came of a folder of photographs.

    Attributes:
        photographs: images found, each of them counted once below.
        crops: photographs with a crop in the output folder.
        reused: those of them made by an earlier run.
        several: photographs with more than one face, of which the largest was taken (counted in ``crops`` too).
        no_face: photographs without a face.
        unreadable: files that do not decode as an image.
        ignored: files of other kinds, hidden ones included.
    """

    photographs: int
    crops: int
    reused: int
    several: list[str]
    no_face: list[str]
    unreadable: list[str]
    ignored: int

    def describe(self) -> str:
        """The summary as lines to read; photographs to look at are named."""
        lines = [
            f"{self.photographs} photographs, {self.crops} crops ({self.reused} from before), "
            f"{self.ignored} other files"
        ]
        for what, names in (("without a face", self.no_face), ("unreadable", self.unreadable),
                            ("with several faces, the largest taken", self.several)):
            if names:
                lines.append(f"{len(names)} {what}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}")
        return "\n".join(lines)


def align_folder(photos: Path, out: Path, detector: Detector, size: int = 112, png: bool = False) -> AlignSummary:
    """Align every photograph below a folder; the crops lie in ``out`` at the same relative paths.

    Of several faces the one with the largest box is taken. So PHOTOS/PERSON/any/depth.jpg becomes a face set; crops of
    photographs directly in ``photos`` are made as well, but belong to no person. ``out/align.json`` tells for each
    photograph its crop, number of faces, score and points, or why there is none. A crop that is listed there and exists
    is not made again, so the same command continues after a stop.

    Args:
        photos: the folder of photographs.
        out: the folder of crops; made if absent.
        detector: finds the five points.
        size: side of the crops in pixels.
        png: write PNG (lossless) in place of JPEG of quality 95; names that do not fit get ``.png`` or ``.jpg`` added.

    Raises:
        DataError: no photographs; ``out`` lies inside ``photos`` or around it, or holds crops made in another way.
    """
    found, ignored = _photographs(photos)
    if out.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(out.resolve()):
        raise DataError(f"{out} and {photos} lie in one another; give a folder apart from the photographs")
    settings = {"size": size, "png": png, "detector": detector.fingerprint}
    entries = _listed(out / "align.json", settings)
    crops = {photo: _crop_name(photo, ".png" if png else ".jpg") for photo in found}
    twice = [name for name, count in Counter(crops.values()).items() if count > 1]
    if twice:
        raise DataError(f"two photographs would both become {out / twice[0]}; rename one of them")
    made = [photo for photo in found if "crop" in entries.get(photo, {}) and (out / crops[photo]).is_file()]
    waiting = sorted(set(found) - set(made))
    with progress("align", len(found), start=len(made)) as advance:
        saved = time.monotonic()
        for photo in waiting:
            entries[photo] = _align_one(photos / photo, out, crops[photo], detector, size)
            advance(1, "")
            if time.monotonic() - saved > SAVE_EVERY:
                _save(out, settings, entries)
                saved = time.monotonic()
    _save(out, settings, entries)
    problems = {photo: entries[photo].get("problem") for photo in found}
    return AlignSummary(
        photographs=len(found),
        crops=sum(problem is None for problem in problems.values()),
        reused=len(made),
        several=[photo for photo in found if entries[photo].get("faces", 0) > 1],
        no_face=[photo for photo in found if problems[photo] == "no face"],
        unreadable=[photo for photo in found if problems[photo] == "unreadable"],
        ignored=ignored,
    )


def _align_one(photo: Path, out: Path, crop: str, detector: Detector, size: int) -> dict[str, Any]:
    """Make one crop; gives the photograph's entry in ``align.json``."""
    try:
        image = decode(photo.read_bytes(), str(photo))
    except (DataError, OSError):
        return {"problem": "unreadable"}
    faces = detector(image)
    if not faces:
        return {"problem": "no face"}
    bgr = cv2.cvtColor(warp(image, faces[0].landmarks, size), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(Path(crop).suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    files.write_bytes(out / crop, data.tobytes())
    points = [[round(float(value), 3) for value in point] for point in faces[0].landmarks]
    return {"crop": crop, "faces": len(faces), "score": round(faces[0].score, 4), "landmarks": points}


def _crop_name(photo: str, ending: str) -> str:
    """The photograph's own name where its ending says the crop's format, with the format's ending added elsewhere."""
    fitting = {".jpg": (".jpg", ".jpeg"), ".png": (".png",)}[ending]
    return photo if photo.lower().endswith(fitting) else photo + ending


def _photographs(photos: Path) -> tuple[list[str], int]:
    """Relative paths of the images below a folder, sorted, and the number of other files."""
    if not photos.is_dir():
        raise DataError(f"{photos} is not a folder; give the folder with the photographs, one subfolder a person")
    found, ignored = [], 0
    for folder, _, names in os.walk(photos, followlinks=True):
        for name in names:
            path = Path(folder, name).relative_to(photos)
            hidden = any(part.startswith(".") for part in path.parts)
            if not hidden and path.suffix.lower() in EXTENSIONS:
                found.append(path.as_posix())
            else:
                ignored += 1
    if not found:
        endings = ", ".join(sorted(EXTENSIONS))
        raise DataError(f"{photos} holds no photographs ({ignored} other files); they end in {endings}")
    return sorted(found), ignored


def _listed(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of an earlier run with the same settings."""
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
