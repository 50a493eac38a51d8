"""What was found in a folder of photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facekd.data.alignment.align_list import AlignEntry
from facekd.data.containers.path_list import abbreviate


@dataclass(frozen=True)
class AlignSummary:
    """The result of aligning a folder of photographs.

    Attributes:
        photographs: the number of photographs; each has crops, or is in ``no_face`` or in ``unreadable``.
        crops: the number of crops in the output folder.
        reused: the number of these crops that an earlier run made.
        multiple_faces: photographs with more than one face.
        no_face: photographs without a face.
        unreadable: files that do not decode as an image.
        ignored: the number of other files, including hidden files.
        all_faces: whether every face of a photograph has a crop, or the largest one.
    """

    photographs: int
    crops: int
    reused: int
    multiple_faces: list[str]
    no_face: list[str]
    unreadable: list[str]
    ignored: int
    all_faces: bool = False

    def describe(self) -> str:
        """Return the summary as text; it names photographs that should be checked."""
        lines = [
            f"{self.photographs} photographs, {self.crops} crops ({self.reused} from before), "
            f"{self.ignored} other files"
        ]
        groups = (
            ("without a face", self.no_face),
            ("unreadable", self.unreadable),
            (f"with several faces, {'all' if self.all_faces else 'the largest'} taken", self.multiple_faces),
        )
        for description, names in groups:
            if names:
                lines.append(f"{len(names)} {description}: {abbreviate(names)}")
        return "\n".join(lines)


def summarize(entries: Mapping[str, AlignEntry], reused: Sequence[str], ignored: int, all_faces: bool) -> AlignSummary:
    """Count the entries of all photographs.

    Args:
        entries: by photograph what was found.
        reused: the photographs that an earlier run processed.
        ignored: the number of other files.
        all_faces: whether every face has a crop.
    """
    return AlignSummary(
        photographs=len(entries),
        crops=sum(len(entry.crops) for entry in entries.values()),
        reused=sum(len(entries[photo].crops) for photo in reused),
        multiple_faces=[photo for photo, entry in entries.items() if entry.faces > 1],
        no_face=[photo for photo, entry in entries.items() if entry.problem == "no face"],
        unreadable=[photo for photo, entry in entries.items() if entry.problem == "unreadable"],
        ignored=ignored,
        all_faces=all_faces,
    )
