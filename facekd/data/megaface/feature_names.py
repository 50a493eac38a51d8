"""The names of feature files in a tree: the relative path of the image, and a suffix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from facekd.errors import DataError
from facekd.text import path_text, printable, short_repr

DEFAULT_SUFFIX = "_facekd.bin"
"""The text that follows the path of an image in the name of its feature file."""
MAX_SUFFIX = 100
"""Characters of a suffix: a file name has 255 bytes, most of them the image's."""


def check_suffix(suffix: str) -> None:
    """Check that a suffix is the end of a file name, so that no feature file is outside of the folder of its image.

    Raises:
        DataError: it is empty, too long, or contains a slash, a backslash or a control character.
    """
    if not suffix or "/" in suffix or "\\" in suffix or printable(suffix) != suffix or len(suffix) > MAX_SUFFIX:
        raise DataError(f"the suffix {short_repr(suffix)} of the feature files is no end of a file name; give one of 1 "
                        f"to {MAX_SUFFIX} characters without a slash, e.g. {DEFAULT_SUFFIX}")


def list_image_names(root: Path, suffix: str = DEFAULT_SUFFIX) -> list[str]:
    """Return the relative paths of the images that have a feature file in a tree, sorted.

    Raises:
        DataError: no file has the suffix, or a folder cannot be read.
    """
    check_suffix(suffix)
    names = [
        Path(folder, file).relative_to(root).as_posix().removesuffix(suffix)
        for folder, _, files in os.walk(root, onerror=_raise_unreadable) for file in files if file.endswith(suffix)
    ]
    if not names:
        raise DataError(f"no file below {path_text(root)} ends in {suffix!r}; check the folder and the suffix")
    return sorted(names)


def _raise_unreadable(error: OSError) -> NoReturn:
    raise DataError(f"{path_text(error.filename)} cannot be read ({error.strerror}); allow it or move it elsewhere")
