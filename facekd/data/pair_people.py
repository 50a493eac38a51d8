"""Who is in a pair list, where its paths tell."""

from __future__ import annotations

import os.path
from pathlib import Path

from facekd.data.pairs import PairSet


def people_of(pairs: PairSet) -> list[str] | None:
    """The person in each distinct image, by the folder level that agrees with every pair of the list.

    ``PERSON/0001.jpg`` as well as ``PERSON/frontal/01.jpg`` and ``frontal/PERSON/01.jpg`` are understood: the level is
    taken at which the two images of a pair share the folder's name if and only if the list calls them one person.

    Returns:
        One name an entry of ``pairs.images``; None where the images are no files, the list holds pairs of one kind
        only, or no level agrees.
    """
    paths = [image for image in pairs.images if isinstance(image, Path)]
    if len(paths) < len(pairs.images) or pairs.same.all() or not pairs.same.any():
        return None
    folders = [path.absolute().parent.parts for path in paths]
    common = len(Path(os.path.commonpath([path.absolute().parent for path in paths])).parts)
    both = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True))
    for level in range(common, min(len(parts) for parts in folders)):
        names = [parts[level] for parts in folders]
        if all((names[one] == names[other]) == same for one, other, same in both):
            return names
    return None
