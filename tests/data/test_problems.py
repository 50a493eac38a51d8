from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.problems import join_first, raise_if_any
from facekd.errors import DataError


@pytest.mark.parametrize(("count", "text"), [
    (0, ""), (1, "0"), (2, "0; 1"), (5, "0; 1; 2; 3; 4"), (6, "0; 1; 2; 3; 4 and 1 more"),
    (8, "0; 1; 2; 3; 4 and 3 more"),
])
def test_five_items_are_joined_and_the_rest_counted(count: int, text: str) -> None:
    assert join_first([str(number) for number in range(count)]) == text


def test_items_may_be_the_first_of_more() -> None:
    assert join_first(["a", "b"], 9) == "a; b and 4 more"


def test_a_long_item_is_cut() -> None:
    assert len(join_first(["x" * 10_000])) == 79


@pytest.mark.parametrize(("problems", "message"), [
    (["line 3: x"], "list.txt has 1 problem: line 3: x; correct the file"),
    (["line 3: x", "line 9: y"], "list.txt has 2 problems: line 3: x; line 9: y; correct the file"),
])
def test_problems_are_counted_and_named_with_advice(problems: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        raise_if_any(Path("list.txt"), problems, "correct the file")
    assert str(caught.value) == message


def test_a_file_without_problems_is_accepted() -> None:
    assert raise_if_any(Path("list.txt"), [], "correct the file") is None  # type: ignore[func-returns-value]
