from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.opening import open_pairs
from facekd.data.pair_people import people_of
from facekd.data.pairs import paired


def people(rows: list[tuple[str, str, bool]]) -> list[str] | None:
    first, second, same = ([row[i] for row in rows] for i in range(3))
    root = Path("/faces")
    return people_of(paired(Path("list.csv"), [root / str(p) for p in first], [root / str(p) for p in second],
                            [bool(s) for s in same], [1] * len(rows)))


@pytest.mark.parametrize("form", ["{}/{}.png", "{}/frontal/{}.png", "frontal/{}/{}.png"])
def test_the_level_that_agrees_with_the_list_is_the_person(form: str) -> None:
    ann, anna, bo = form.format("ann", 1), form.format("ann", 2), form.format("bo", 1)
    assert people([(ann, anna, True), (anna, bo, False)]) == ["ann", "ann", "bo"]


@pytest.mark.parametrize("rows", [
    [("1.png", "2.png", True), ("1.png", "3.png", False)],
    [("a/1.png", "b/2.png", True), ("a/1.png", "c/3.png", False)],
    [("a/1.png", "a/2.png", True), ("b/1.png", "b/3.png", True)],
    [("a/1.png", "b/2.png", False), ("a/1.png", "c/3.png", False)],
])
def test_nothing_is_guessed(rows: list[tuple[str, str, bool]]) -> None:
    assert people(rows) is None


def test_encoded_images_name_nobody() -> None:
    assert people_of(paired(Path("x.bin"), [b"1", b"3"], [b"2", b"4"], [True, False], [1, 1])) is None


@pytest.mark.parametrize("which", ["pairs_ff.csv", "pairs_fp.csv"])
def test_real_lists_know_their_people(shared: Path, which: str) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / which, shared / "faces" / "cfp")
    found = people_of(pairs)
    assert found is not None
    assert len(set(found)) == 400
