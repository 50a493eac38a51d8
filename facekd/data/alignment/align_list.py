"""The file ``align.json`` beside aligned crops: what was found in each photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from facekd.errors import DataError
from facekd.io import files
from facekd.text import path_text, short_repr

VERSION = 2
FILE_NAME = "align.json"
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
_Numbers = Annotated[list[float], Field(min_length=2, max_length=2)]


class FaceCrop(BaseModel):
    """The crop of one face.

    Attributes:
        crop: its path below the output folder.
        score: the confidence of the detector.
        landmarks: five points (x, y) in pixels of the photograph.
    """

    model_config = _STRICT

    crop: str
    score: float
    landmarks: Annotated[list[_Numbers], Field(min_length=5, max_length=5)]


class AlignEntry(BaseModel):
    """What was found in one photograph.

    Attributes:
        problem: the reason why there is no crop; None if there is one.
        faces: the number of detected faces.
        crops: the crops, that of the largest face first.
    """

    model_config = _STRICT

    problem: Literal["unreadable", "no face"] | None = None
    faces: int = Field(default=0, ge=0)
    crops: list[FaceCrop] = Field(default_factory=list)


class _AlignFile(BaseModel):
    model_config = _STRICT

    size: int
    png: bool
    all_faces: bool
    detector: str
    photographs: dict[str, AlignEntry]


def read_align_list(folder: Path, settings: dict[str, Any]) -> dict[str, AlignEntry]:
    """Return the entries that an earlier run with the same settings wrote, by photograph; empty if there is no file.

    Args:
        folder: the folder of the crops.
        settings: ``size``, ``png``, ``all_faces`` and ``detector`` of this run.

    Raises:
        DataError: the file is damaged, or its crops were made with other settings.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return {}
    earlier = files.read_versioned(path, "align", VERSION, DataError, schema=_AlignFile,
                                   remedy="delete it to align all photographs again")
    for key, value in settings.items():
        if getattr(earlier, key) != value:
            made = f"{key} {short_repr(getattr(earlier, key))}, now it is {value}"
            raise DataError(f"{path_text(folder)} holds crops made with {made}; give another folder")
    return earlier.photographs


def write_align_list(folder: Path, settings: dict[str, Any], entries: dict[str, AlignEntry]) -> None:
    """Write ``align.json`` atomically; see `read_align_list`.

    Raises:
        SetupError: the file cannot be written.
    """
    photographs = {photo: entry.model_dump(exclude_defaults=True) for photo, entry in entries.items()}
    files.write_versioned(folder / FILE_NAME, "align", VERSION, {**settings, "photographs": photographs})
