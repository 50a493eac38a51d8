from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.recordio_index import read_index
from facekd.errors import DataError


def test_keys_are_sorted_with_their_offsets(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_text("5\t0\n1\t44\n3  88\n")
    keys, offsets = read_index(tmp_path / "a.idx")
    assert (keys.tolist(), offsets.tolist()) == ([1, 3, 5], [44, 88, 0])
    assert keys.dtype == offsets.dtype == np.int64


@pytest.mark.parametrize("line", ["2", "2\tx", "2\t-4", "2 4 6", "2\t" + "9" * 30, "2.5\t4", "\x00\x01"])
def test_malformed_index_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.idx").write_text(f"0\t0\n1\t44\n{line}\n")
    with pytest.raises(DataError, match=r"a\.idx, line 3: .* is not 'key, tab, offset'"):
        read_index(tmp_path / "a.idx")


def test_repeated_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_text("0\t0\n1\t44\n1\t88\n")
    with pytest.raises(DataError, match="lists record 1 twice"):
        read_index(tmp_path / "a.idx")


@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_or_empty_index_is_named(tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "a.idx").touch()
    with pytest.raises(DataError, match=r"a\.idx is missing or empty"):
        read_index(tmp_path / "a.idx")
