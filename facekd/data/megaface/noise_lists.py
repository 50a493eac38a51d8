"""InsightFace's noise lists: FaceScrub images of a wrong person, and MegaFace distractors that show a FaceScrub person.

The lists come with a condition: publications that use them name InsightFace's noise lists
(https://github.com/deepinsight/insightface) as their source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.io.reading import read_text
from facekd.text import path_text, short_repr

PROBES = "facescrub_noises.txt"
DISTRACTORS = "megaface_noises.txt"


@dataclass(frozen=True)
class NoiseList:
    """The images of one list.

    Attributes:
        file: the file from which the list was read.
        names: the image names in the order of the file, one per line; names may be repeated.
        num_components: the number of path components of a name: 1 for a file name, 3 for ``d1/id/file``.
    """

    file: Path
    names: tuple[str, ...]
    num_components: int

    def match(self, paths: Sequence[str]) -> NDArray[np.bool_]:
        """Return which images are on the list, bool [paths]: the last ``num_components`` components are compared."""
        listed = frozenset(self.names)
        return np.array([tail in listed for tail in self._tails(paths)], np.bool_)

    def count_lines_naming(self, paths: Sequence[str]) -> int:
        """Return how many lines of the list name one of the images."""
        tails = frozenset(self._tails(paths))
        return sum(name in tails for name in self.names)

    def _tails(self, paths: Sequence[str]) -> list[str]:
        count = self.num_components
        return ["/".join(path.rsplit("/", count)[-count:]) for path in paths]


@dataclass(frozen=True)
class NoiseLists:
    """InsightFace's two lists.

    Attributes:
        probes: FaceScrub images of a wrong person.
        distractors: MegaFace images that show a FaceScrub person.
    """

    probes: NoiseList
    distractors: NoiseList


def read_noise_lists(folder: Path) -> NoiseLists:
    """Read ``facescrub_noises.txt`` and ``megaface_noises.txt`` from a folder.

    Raises:
        DataError: see `read_noise_list`.
    """
    return NoiseLists(read_noise_list(folder / PROBES, 1), read_noise_list(folder / DISTRACTORS, 3))


def read_noise_list(path: Path, num_components: int) -> NoiseList:
    """Read a noise list: one name per line, or the second column of a line with tabs; '#' begins a comment line.

    Args:
        path: UTF-8 text; names that are not UTF-8 are read as Python reads file names.
        num_components: the number of components, separated by '/', of every name.

    Raises:
        DataError: the file cannot be read, contains no name, or a name has another number of components; the message
            names the first such line.
    """
    if not path.exists():
        raise DataError(f"{path_text(path)} does not exist; give the folder that holds {PROBES} and {DISTRACTORS}")
    text = read_text(path, errors="surrogateescape", remedy="restore it")
    if "\0" in text:
        raise DataError(f"{path_text(path)} is no text, it holds zero bytes; restore it")
    names = []
    for number, line in enumerate(text.splitlines(), 1):
        columns = line.strip().split("\t")
        name = columns[min(1, len(columns) - 1)]
        if not name or line.startswith("#"):
            continue
        if name.count("/") != num_components - 1:
            form = "a file name" if num_components == 1 else f"a path of {num_components} components"
            raise DataError(f"{path_text(path)}, line {number}: {short_repr(name)} is not {form}; correct the line")
        names.append(name)
    if not names:
        raise DataError(f"{path_text(path)} names no image; restore it")
    return NoiseList(path, tuple(names), num_components)
