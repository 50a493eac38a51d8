from __future__ import annotations

import pytest

from facekd.data.alignment.align_list import AlignEntry, FaceCrop
from facekd.data.alignment.align_summary import summarize

CROPS = [FaceCrop(crop=f"{number}.jpg", score=0.5, landmarks=[[1.0, 2.0]] * 5) for number in range(3)]
ENTRIES = {
    "a.jpg": AlignEntry(faces=1, crops=CROPS[:1]), "b.jpg": AlignEntry(faces=3, crops=CROPS),
    "c.jpg": AlignEntry(problem="no face"), "d.jpg": AlignEntry(problem="unreadable"),
}


@pytest.mark.parametrize(("all_faces", "taken"), [(True, "all"), (False, "the largest")])
def test_every_photograph_is_counted_and_the_doubtful_ones_are_named(all_faces: bool, taken: str) -> None:
    assert summarize(ENTRIES, ["b.jpg"], 2, all_faces).describe().splitlines() == [
        "4 photographs, 4 crops (3 from before), 2 other files", "1 without a face: c.jpg", "1 unreadable: d.jpg",
        f"1 with several faces, {taken} taken: b.jpg",
    ]
