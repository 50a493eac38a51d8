from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.ijb.parsing import (
    assign_subjects,
    open_text,
    parse_int32,
    read_integers,
    read_template_csv,
    template_indices,
)
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT
from facekd.errors import DataError
from tests.data.ijb.protocol_files import write_lines

IDS = np.array([7, 10, 20], np.int64)


@pytest.mark.parametrize(("word", "number"), [
    ("0", 0), (" 12\n", 12), ("2147483647", 2147483647), ("2147483648", None), ("-1", None), ("1.0", None),
    ("", None), ("ten", None), ("\ufffd1", None), ("20\x1c", 20), ("2\x1c0", None), ("9" * 5000, None),
    ("\uff11", None),
])
def test_whole_numbers_are_those_that_int32_holds(word: str, number: int | None) -> None:
    assert parse_int32(word) == number


def test_names_that_are_not_utf8_are_those_of_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1 \xff2\n")
    with open_text(tmp_path / "a.txt") as handle:
        assert handle.read() == "1 \udcff2\n"


def test_a_missing_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt does not exist"), open_text(tmp_path / "none.txt"):
        pass


@pytest.mark.parametrize("header", [[], ["A,B"]])
@pytest.mark.parametrize("delimiter", [",", None])
def test_the_first_columns_are_read_without_the_header(
    tmp_path: Path, header: list[str], delimiter: str | None
) -> None:
    rows = np.random.default_rng(0).integers(0, 2**31, (50, 3))
    lines = [(delimiter or " ").join(map(str, row)) for row in rows.tolist()]
    write_lines(tmp_path / "a.txt", [*header, *lines])
    numbers = read_integers(tmp_path / "a.txt", 2, delimiter)
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(numbers, rows[:, :2])


def test_a_file_without_numbers_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.txt", ["A,B"])
    with pytest.raises(DataError, match=r"a\.txt holds no lines of 2 numbers"):
        read_integers(tmp_path / "a.txt", 2, ",")


def test_the_lines_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.txt", ["1,2", "3", "4,5", "x,6"])
    with pytest.raises(DataError, match=r"2 problems: line 2: 2 whole numbers below 2\^31 are needed; line 4: "):
        read_integers(tmp_path / "a.txt", 2, ",")


def test_columns_are_found_by_either_of_their_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", ["FILE, subject ,X,TEMPLATE", "a.jpg,5,,10", "", "b.jpg,6,,11"])
    rows = read_template_csv(tmp_path / "a.csv", ("template", "subject", "name"))
    assert (rows.templates, rows.subjects, rows.names, rows.sightings) == ([10, 11], [5, 6], ["a.jpg", "b.jpg"], [])


def test_a_csv_without_rows_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", ["TEMPLATE_ID,SUBJECT_ID"])
    with pytest.raises(DataError, match=r"a\.csv holds no rows"):
        read_template_csv(tmp_path / "a.csv", ("template", "subject"))


def test_indices_of_templates_are_their_positions() -> None:
    indices = template_indices(IDS, np.array([20, 7, 7, 10]), Path("pairs"), Path("images"))
    assert indices.dtype == np.int32 and indices.tolist() == [2, 0, 0, 1]


def test_templates_that_do_not_exist_are_counted_and_named() -> None:
    with pytest.raises(DataError, match="pairs names 3 templates that images does not hold: 3, 8, 99"):
        template_indices(IDS, np.array([99, 8, 7, 3, 8]), Path("pairs"), Path("images"))


def test_subjects_are_set_in_place_and_may_be_confirmed() -> None:
    subjects = np.array([UNKNOWN_SUBJECT, 5, UNKNOWN_SUBJECT], np.int64)
    assign_subjects(IDS, subjects, np.array([0, 1, 0]), [6, 5, 6], Path("a.csv"))
    assert subjects.tolist() == [6, 5, UNKNOWN_SUBJECT]


@pytest.mark.parametrize(("templates", "row_subjects"), [([1], [6]), ([2, 2], [3, 4])])
def test_several_subjects_of_one_template_are_refused(templates: list[int], row_subjects: list[int]) -> None:
    subjects = np.array([UNKNOWN_SUBJECT, 5, UNKNOWN_SUBJECT], np.int64)
    name = int(IDS[templates[0]])
    with pytest.raises(DataError, match=rf"a\.csv gives 1 templates to several subjects: {name};"):
        assign_subjects(IDS, subjects, np.array(templates), row_subjects, Path("a.csv"))


def test_a_field_of_many_characters_is_one_sentence(tmp_path: Path) -> None:
    for lines in (["x" * 140_000 + ",TEMPLATE_ID,SUBJECT_ID"], ["TEMPLATE_ID,SUBJECT_ID", "x" * 140_000 + ",1"]):
        write_lines(tmp_path / "a.csv", lines)
        with pytest.raises(DataError, match=r"a\.csv cannot be read \(field larger than field limit"):
            read_template_csv(tmp_path / "a.csv", ("template", "subject"))


@pytest.mark.parametrize("number", ["2" * 5000, "2\x020"])
def test_what_is_no_number_is_named_by_its_line(tmp_path: Path, number: str) -> None:
    write_lines(tmp_path / "a.csv", ["TEMPLATE_ID,SUBJECT_ID", f"{number},1"])
    with pytest.raises(DataError, match=r"a\.csv has 1 problem: line 2: ") as caught:
        read_template_csv(tmp_path / "a.csv", ("template", "subject"))
    assert len(str(caught.value)) < 400
    write_lines(tmp_path / "b.txt", ["1 1", f"{number} 1"])
    with pytest.raises(DataError, match=r"b\.txt"):
        read_integers(tmp_path / "b.txt", 2, None)
