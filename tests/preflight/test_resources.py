from __future__ import annotations

import pytest

from facekd.preflight.resources import ResourceUse, drop_empty, format_bytes, total_bytes

USES = [ResourceUse("weights", 100), ResourceUse("crops", 0), ResourceUse("logits", 23)]


def test_the_total_is_the_sum_of_the_sizes() -> None:
    assert total_bytes(USES) == 123
    assert total_bytes([]) == 0


def test_items_of_nothing_are_left_out() -> None:
    assert [use.name for use in drop_empty(USES)] == ["weights", "logits"]


@pytest.mark.parametrize(("size", "text"), [
    (0, "0.00 MiB"), (3 * 2**20 + 2**18, "3.25 MiB"), (10 * 2**20, "10 MiB"), (1023 * 2**20, "1,023 MiB"),
    (2**30, "1.0 GiB"), (1536 * 2**30, "1,536.0 GiB"),
])
def test_bytes_are_written_in_mebibytes_or_gibibytes(size: int, text: str) -> None:
    assert format_bytes(size) == text
