from __future__ import annotations

import pytest

from facekd.data.prefetch import prefetch


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (3, [3]), (5, [5]), (23, [5, 5, 5, 5, 3])])
def test_items_come_once_in_order(count: int, sizes: list[int]) -> None:
    batches = list(prefetch(lambda index: index * index, count, 5))
    assert [len(batch) for batch in batches] == sizes
    assert [item for batch in batches for item in batch] == [index * index for index in range(count)]


def test_an_error_is_raised_where_its_item_is_due() -> None:
    def load(index: int) -> int:
        if index == 12:
            raise ValueError("item 12")
        return index

    batches = prefetch(load, 20, 5)
    assert [next(batches), next(batches)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    with pytest.raises(ValueError, match="item 12"):
        next(batches)
