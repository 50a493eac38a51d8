from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facekd.evaluation.embedding.growing_array import GrowingArray

IDENTITY = {"rows": 5, "dimension": 3, "dtype": "float32", "model": "a"}
ROWS = np.arange(15, dtype=np.float32).reshape(5, 3)


class Interrupted(Exception):
    pass


def write(out: Path, rows: int, identity: dict[str, Any]) -> None:
    """Append the first rows that are missing, then stop as a kill does."""
    with pytest.raises(Interrupted), GrowingArray(out, identity) as array:
        array.append(ROWS[array.rows_written : array.rows_written + rows])
        raise Interrupted


def test_rows_are_those_that_were_appended(tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    with GrowingArray(out, IDENTITY) as array:
        array.append(ROWS[:2])
        array.append(ROWS[2:])
    array.finalize()
    assert np.array_equal(np.load(out), ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_the_dtype_is_that_of_the_identity(tmp_path: Path) -> None:
    with GrowingArray(tmp_path / "a.npy", {**IDENTITY, "dtype": "float16"}) as array:
        array.append(ROWS)
    array.finalize()
    assert np.load(tmp_path / "a.npy").dtype == np.float16


def test_an_interrupted_array_is_continued(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", 2, IDENTITY)
    assert json.loads((tmp_path / "a.npy.partial.json").read_text())["rows_written"] == 2
    with GrowingArray(tmp_path / "a.npy", IDENTITY) as array:
        assert array.rows_written == 2
        array.append(ROWS[2:])
    array.finalize()
    assert np.array_equal(np.load(tmp_path / "a.npy"), ROWS)


def test_an_array_without_rows_leaves_no_file(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", 0, IDENTITY)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_identity_are_discarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.npy", 2, IDENTITY)
    with GrowingArray(tmp_path / "a.npy", {**IDENTITY, "model": "b"}) as array:
        assert array.rows_written == 0
    assert "is begun anew: another model" in " ".join(capsys.readouterr().err.split())


def test_a_note_of_an_older_facekd_is_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.npy", 2, IDENTITY)
    note = tmp_path / "a.npy.partial.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "version": 1}))
    with GrowingArray(tmp_path / "a.npy", IDENTITY) as array:
        assert array.rows_written == 0
    assert "was written by an older facekd" in " ".join(capsys.readouterr().err.split())
