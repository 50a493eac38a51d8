"""The files of ``facekd group``: folders of people, a table of all images, and a sheet of the doubtful ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.image_folder import EXTENSIONS
from facekd.data.face_set import FaceSet
from facekd.data.feature_set import Features
from facekd.errors import DataError
from facekd.evaluation.dataset_quality.grouping import Grouping
from facekd.io.csv_table import write_csv
from facekd.io.files import atomic_folder, write_bytes
from facekd.reporting.plots.image_grid import image_grid
from facekd.utils.progress import progress_bar

COLUMNS = ("image", "group", "cosine", "next_group", "next_cosine", "margin")


def write_table(path: Path, faces: FaceSet, grouping: Grouping, names: Sequence[str]) -> None:
    """Write one row per image: its group, its next group and its margin; cells of what does not exist are empty.

    Args:
        path: the CSV file.
        faces: the images.
        grouping: their groups.
        names: the names of the groups.
    """
    rows = []
    for index, margin in enumerate(grouping.margin):
        own, other = int(grouping.group[index]), int(grouping.next_group[index])
        rows.append((faces.image_name(index), names[own] if own >= 0 else "", _cell(grouping.own_cosine[index]),
                     names[other] if other >= 0 else "", _cell(grouping.next_cosine[index]), _cell(margin)))
    write_csv(path, COLUMNS, rows)


def _cell(value: np.float32) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


def write_sheet(path: Path, faces: FaceSet, rows: Features, grouping: Grouping, doubtful: Sequence[int]) -> None:
    """Draw doubtful images, each with the most similar image of its group and that of the next group.

    Args:
        path: the JPEG file.
        faces: the images.
        rows: float32 [images, dimension], their unit embeddings.
        grouping: their groups.
        doubtful: the images to draw.
    """
    cells: list[tuple[NDArray[np.uint8], str]] = []
    for index in doubtful:
        cells.append((faces.pixels(index), f"margin {grouping.margin[index]:.2f}"))
        for group_number, kind in ((grouping.group[index], "own"), (grouping.next_group[index], "next")):
            members = np.flatnonzero(grouping.group == group_number)
            members = members[members != index]
            if group_number < 0:
                cells.append((np.full((8, 8, 3), 255, np.uint8), "alone"))
                continue
            cosines = rows[members] @ rows[index]
            cells.append((faces.pixels(int(members[cosines.argmax()])), f"{kind} {cosines.max():.2f}"))
    title = f"{len(doubtful)} doubtful images, each beside the most similar one of its group and of the next group"
    write_bytes(path, image_grid(cells, title, columns=9))


def write_people(folder: Path, faces: FaceSet, grouping: Grouping, names: Sequence[str]) -> None:
    """Copy the grouped images into one subfolder per group.

    Args:
        folder: the folder of the subfolders, which must not exist.
        faces: the images.
        grouping: their groups.
        names: the names of the groups.
    """
    files = _file_names(faces)
    grouped = np.flatnonzero(grouping.group >= 0).tolist()
    with atomic_folder(folder, DataError) as temporary, progress_bar("copy", len(grouped)) as advance:
        for name in names:
            (temporary / name).mkdir()
        for index in grouped:
            (temporary / names[grouping.group[index]] / files[index]).write_bytes(faces.read(index))
            advance(1, "")


def _file_names(faces: FaceSet) -> list[str]:
    """Return a file name for every image: its own, preceded by its number in the set where two have the same."""
    own = [faces.image_name(index).rpartition("/")[2] for index in range(len(faces))]
    own = [name if os.path.splitext(name)[1].lower() in EXTENSIONS else f"{name}.jpg" for name in own]
    unique = len(set(own)) == len(own)
    return own if unique else [f"{index:0{len(str(len(own)))}d}-{name}" for index, name in enumerate(own)]
