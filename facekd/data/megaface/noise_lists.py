"""InsightFace's noise lists: FaceScrub images of another person, MegaFace distractors that show a FaceScrub person.

The lists come with a rule of use: who reports figures cleaned with them names InsightFace's noise lists
(https://github.com/deepinsight/insightface) as their source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError

PROBES = "facescrub_noises.txt"
DISTRACTORS = "megaface_noises.txt"


@dataclass(frozen=True)
class NoiseList:
    """The images of one list.

    Attributes:
        file: the file it was read from.
        names: one a line, in the file's order; some stand there twice.
        parts: of how many parts a name is: 1 for a file name, 3 for ``d1/id/file``.
    """

    file: Path
    names: tuple[str, ...]
    parts: int

    def matching(self, paths: Sequence[str]) -> NDArray[np.bool_]:
        """Which of the images are on the list, bool [paths]: those whose last ``parts`` parts are one of its names."""
        wanted = frozenset(self.names)
        return np.array([tail in wanted for tail in self._tails(paths)], np.bool_)

    def lines_naming(self, paths: Sequence[str]) -> int:
        """How many lines of the list name one of the images."""
        there = frozenset(self._tails(paths))
        return sum(name in there for name in self.names)

    def _tails(self, paths: Sequence[str]) -> list[str]:
        return ["/".join(path.rsplit("/", self.parts)[-self.parts :]) for path in paths]


@dataclass(frozen=True)
class Noise:
    """Both lists of InsightFace."""

    probes: NoiseList
    distractors: NoiseList


def read_noise(folder: Path) -> Noise:
    """Read ``facescrub_noises.txt`` and ``megaface_noises.txt`` of a folder.

    Raises:
        DataError: as `read_noise_list`.
    """
    return Noise(read_noise_list(folder / PROBES, 1), read_noise_list(folder / DISTRACTORS, 3))


def read_noise_list(path: Path, parts: int) -> NoiseList:
    """Read a noise list: a name a line, or in the second column of a line with tabs; '#' begins a line of comment.

    Args:
        path: UTF-8 text.
        parts: of how many parts, separated by '/', each name is.

    Raises:
        DataError: the file cannot be read, holds no name, or a name has another number of parts; the first such line
            is named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; give the folder that holds {PROBES} and {DISTRACTORS}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as text ({problem}); restore it") from problem
    names = []
    for number, line in enumerate(lines, 1):
        columns = line.strip().split("\t")
        name = columns[min(1, len(columns) - 1)]
        if not name or line.startswith("#"):
            continue
        if name.count("/") != parts - 1:
            form = "a file name" if parts == 1 else f"a path of {parts} parts"
            raise DataError(f"{path}, line {number}: {name!r} is not {form}; correct the line")
        names.append(name)
    if not names:
        raise DataError(f"{path} names no image; restore it")
    return NoiseList(path, tuple(names), parts)
