from __future__ import annotations

from pathlib import Path

from facekd.io.csv_table import write_csv


def test_cells_are_text_and_formulas_are_escaped(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("name", "value"), [("a, b", 1.5), ("=1+1", "")])
    assert (tmp_path / "t.csv").read_text() == "name,value\n\"a, b\",1.5\n'=1+1,\n"


def test_names_that_are_no_utf8_keep_their_bytes(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("name",), [("\udcff",)])
    assert (tmp_path / "t.csv").read_bytes() == b"name\n\xff\n"
