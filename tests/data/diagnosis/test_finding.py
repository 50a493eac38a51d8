from __future__ import annotations

import pytest

from facekd.data.diagnosis.finding import format_examples


@pytest.mark.parametrize(("examples", "count", "text"), [
    ([], None, ""),
    (["a"], None, "a"),
    (["a", "b", "c"], None, "a; b; c"),
    (["a", "b", "c", "d"], None, "a; b; c and 1 more"),
    (["a", "b", "c"], 10, "a; b; c and 7 more"),
])
def test_three_examples_are_named_and_the_others_are_counted(
    examples: list[str], count: int | None, text: str
) -> None:
    assert format_examples(examples, count) == text
