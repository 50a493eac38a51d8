from __future__ import annotations

import csv
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.reporting.results.csv_file import read_rows, upsert
from facekd.reporting.results.rows import Row


def a_row(name: str = "kd", seed: int = 0, /, **more: str | float) -> Row:
    return {"name": name, "seed": seed, "model": "resnet20, 32 px, 100-d", "data_sha256": "0123456789ab",
            "epochs": 30.0, "test.top1": 0.7018237 + seed / 3, **more}


def write_one(file: Path, seed: int) -> None:
    upsert(file, [a_row("kd", seed)])


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [a_row("kd", 1, git="1234567"), a_row("kd", 2, losses='labels 0.1 + kd 0.9 (a "b", c)')]
    upsert(tmp_path / "a.csv", rows)
    assert read_rows(tmp_path / "a.csv") == rows


def test_a_second_writing_changes_no_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    upsert(file, [a_row(), a_row("labels")])
    before = file.read_bytes()
    upsert(file, [a_row()])
    assert file.read_bytes() == before


def test_columns_are_united_and_rows_sorted(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.csv"
    upsert(file, [a_row("rco", 10), a_row("rco", 9)])
    upsert(file, [a_row("kd", 0, **{"other.top1": 0.5, "stages": 4})])
    with file.open(newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert [(line["name"], line["seed"]) for line in lines] == [("kd", "0"), ("rco", "9"), ("rco", "10")]
    assert [line["other.top1"] for line in lines] == ["0.5", "", ""]
    assert all(None not in line and None not in line.values() for line in lines)


def test_the_row_of_an_earlier_call_is_replaced_as_a_whole(tmp_path: Path) -> None:
    upsert(tmp_path / "a.csv", [a_row(**{"test.ece": 0.1}), a_row("labels")])
    upsert(tmp_path / "a.csv", [a_row(**{"test.top1": 0.8})])
    assert read_rows(tmp_path / "a.csv") == [a_row(**{"test.top1": 0.8}), a_row("labels")]


@pytest.mark.parametrize("column", ["model", "data_sha256"])
def test_another_model_or_training_set_does_not_replace_a_row(tmp_path: Path, column: str) -> None:
    upsert(tmp_path / "a.csv", [a_row()])
    with pytest.raises(DataError, match="kd, seed 0"):
        upsert(tmp_path / "a.csv", [a_row(**{column: "other"})])
    assert read_rows(tmp_path / "a.csv") == [a_row()]


def test_two_given_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one name and seed"):
        upsert(tmp_path / "a.csv", [a_row(), a_row(epochs=60.0)])
    assert not (tmp_path / "a.csv").exists()


def test_threads_lose_no_row(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: write_one(tmp_path / "a.csv", seed), range(24)))
    assert [row["seed"] for row in read_rows(tmp_path / "a.csv")] == list(range(24))


def test_processes_lose_no_row(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        list(pool.map(write_one, [tmp_path / "a.csv"] * 24, range(24)))
    assert [row["seed"] for row in read_rows(tmp_path / "a.csv")] == list(range(24))


@pytest.mark.parametrize(("content", "location"), [
    ("", ":1: no valid header"),
    ("name,top1\nkd,1\n", ":1: no valid header"),
    ("name,seed,seed\nkd,0,0\n", ":1: no valid header"),
    ("name,seed,t.top1\nkd,0,0.7\nkd,1\n", ":3: 2 cells in 3 columns"),
    ("name,seed,t.top1\nkd,0,0.7\nkd,1,0.7,0.8\n", ":3: 4 cells in 3 columns"),
    ("name,seed,t.top1\nkd,0,much\n", ":2: t.top1 must be a number, not 'much'"),
    ("name,seed,t.top1\nkd,0,nan\n", ":2: t.top1 must be a number"),
    ("name,seed,epochs\nkd,0,\nkd,,3\n", ":3: seed must be a number"),
    ("name,seed,t.top1\nkd,0,0.7\nkd,0,0.8\n", ":3: a second row of kd, seed 0"),
    ('name,seed\n"kd,0\n', ":2: "),
])
def test_a_damaged_file_is_refused_by_its_line_and_left_alone(tmp_path: Path, content: str, location: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        upsert(file, [a_row()])
    assert str(caught.value).startswith(f"{file}{location}") and file.read_text() == content


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.csv"):
        read_rows(tmp_path / "a.csv")


NAMES = ['=HYPERLINK("http:x")', "'=x", "+1+1", "-x", "@x", "a,b", 'a"b', "a\nb", "-5", "$x$"]


def test_no_name_is_a_formula_and_each_is_read_as_it_was(tmp_path: Path) -> None:
    rows = [a_row(name, **{"=cmd.top1": 0.5}) for name in NAMES]
    upsert(tmp_path / "a.csv", rows)
    upsert(tmp_path / "a.csv", rows)
    assert {row["name"] for row in read_rows(tmp_path / "a.csv")} == set(NAMES)
    with (tmp_path / "a.csv").open(newline="") as handle:
        cells = [cell for line in csv.reader(handle) for cell in line]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "@") or cell == "-x"] == []
    assert read_rows(tmp_path / "a.csv")[0]["=cmd.top1"] == 0.5


@pytest.mark.parametrize("cell", ["9" * 5000, "x" * 200_000, "1" * 400])
def test_a_long_cell_is_refused_in_a_short_line(tmp_path: Path, cell: str) -> None:
    (tmp_path / "a.csv").write_text(f"name,seed,t.top1\nkd,0,{cell}\n")
    with pytest.raises(DataError) as raised:
        read_rows(tmp_path / "a.csv")
    assert len(str(raised.value)) < 400
