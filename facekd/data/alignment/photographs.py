"""The photographs of a folder, and the names of their crops."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NoReturn

from facekd.data.containers.image_folder import EXTENSIONS
from facekd.errors import DataError
from facekd.io.temporaries import MAX_NAME_BYTES
from facekd.text import path_text

MAX_FACES = 9999
"""The largest number of crops of one photograph."""
_FACE_NUMBER = re.compile(r"\.face\d+(?=\.[^./]*$)")


def find_photographs(photos: Path) -> tuple[list[str], int]:
    """Find the images below a folder, at any depth and through links.

    Returns:
        the sorted paths relative to the folder, with '/', and the number of other files, including hidden files.

    Raises:
        DataError: the folder does not exist, a folder in it cannot be read, or there is no image.
    """
    if not os.path.isdir(photos):
        raise DataError(f"{path_text(photos)} is not a folder; give the folder with the photographs, one subfolder per "
                        "person")
    photographs = []
    ignored = 0
    for folder, subfolders, names in os.walk(photos, followlinks=True, onerror=_refuse):
        subfolders[:] = [name for name in subfolders if not _is_cycle(folder, name)]
        for name in names:
            path = Path(folder, name).relative_to(photos)
            hidden = any(component.startswith(".") for component in path.parts)
            if not hidden and path.suffix.lower() in EXTENSIONS:
                photographs.append(path.as_posix())
            else:
                ignored += 1
    if not photographs:
        extensions = ", ".join(sorted(EXTENSIONS))
        raise DataError(f"{path_text(photos)} holds no photographs ({ignored} other files); they end in {extensions}")
    return sorted(photographs), ignored


def _is_cycle(folder: str, name: str) -> bool:
    """Return whether a subfolder is a link to one of the folders on its own path."""
    subfolder = os.path.join(folder, name)
    if not os.path.islink(subfolder):
        return False
    target = os.path.realpath(subfolder)
    return any(os.path.realpath(parent) == target for parent in (Path(folder), *Path(folder).parents))


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{path_text(error.filename)} cannot be read ({error.strerror}); allow it or move it elsewhere")


def name_crops(photographs: list[str], out: Path, extension: str, all_faces: bool = False) -> dict[str, str]:
    """Return the path of each photograph's crop, the only one or that of its largest face.

    Args:
        photographs: paths relative to their folder.
        out: the folder of the crops, for the error messages.
        extension: ``.jpg`` or ``.png``, appended to names that end differently.
        all_faces: whether there are crops of further faces, see `name_face`.

    Returns:
        by photograph the path of its crop relative to ``out``.

    Raises:
        DataError: two photographs would have the same crop, or a name would be too long.
    """
    crops = {photo: _crop_name(photo, extension) for photo in photographs}
    repeated = next((name for name, count in Counter(crops.values()).items() if count > 1), None)
    if repeated is not None:
        raise DataError(f"two photographs would both become {path_text(out / repeated)}; rename one of them")
    names = set(crops.values())
    for photo, crop in crops.items():
        if all_faces and _FACE_NUMBER.sub("", crop) in names - {crop}:
            raise DataError(f"{path_text(photo)} has the name of a further face of another photograph; rename it")
        longest = name_face(crop, MAX_FACES) if all_faces else crop
        if len(os.fsencode(os.path.basename(longest))) > MAX_NAME_BYTES:
            raise DataError(f"the crop of {path_text(photo)} would have a name of more than {MAX_NAME_BYTES} bytes; "
                            "rename the photograph")
    return crops


def name_face(crop: str, number: int) -> str:
    """Return the name of the crop of a further face: ``a.face2.jpg`` for face 2 of the photograph with ``a.jpg``."""
    path = PurePosixPath(crop)
    return str(path.with_name(f"{path.stem}.face{number}{path.suffix}"))


def _crop_name(photo: str, extension: str) -> str:
    """Return the name of a photograph, with the extension appended unless the name has an equivalent one."""
    equivalent = {".jpg": (".jpg", ".jpeg"), ".png": (".png",)}[extension]
    return photo if photo.lower().endswith(equivalent) else photo + extension
