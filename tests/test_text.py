"""Text of strangers cannot command a terminal, a spreadsheet, a Markdown page or a plot."""

from __future__ import annotations

import os

import pytest

from facekd.text import csv_cell, markdown, path_text, plot_label, printable, read_csv_cell, short_repr, shorten


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("a\nfacekd: all good", r"a\x0afacekd: all good"),
    ("abc\u202edcb", r"abc\u202edcb"),
    ("a\u200bb\U000e0001", r"a\u200bb\U000e0001"),
    ("\x85\u2028", r"\x85\u2028"),
    (os.fsdecode(b"\xff\xfe"), r"\xff\xfe"),
    ("Zoë 張 $1 100 %", "Zoë 張 $1 100 %"),
])
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_breaks_stay_where_they_are_wanted() -> None:
    assert printable("a\nb\r", keep_newlines=True) == "a\nb\\x0d"


def test_a_long_text_keeps_both_ends() -> None:
    shown = shorten("begin" + "x" * 1000 + "end", 50)
    assert (len(shown), shown[:5], shown[-3:]) == (49, "begin", "end")
    assert shorten("short", 50) == "short"


def test_a_path_that_is_too_long_is_cut() -> None:
    assert len(path_text("/" + "a" * 5000)) <= 200


def test_a_value_is_shown_in_bounded_length_and_time() -> None:
    nested: object = "x"
    for _ in range(40):
        nested = [nested] * 10  # 10^40 values in all
    assert len(short_repr(nested)) <= 80
    assert len(short_repr("x" * 10**6)) <= 80
    assert short_repr(10**5000) == "int"
    assert short_repr("a") == "'a'"


@pytest.mark.parametrize(("text", "cell"), [
    ('=HYPERLINK("http:x")', '\'=HYPERLINK("http:x")'), ("@SUM(1)", "'@SUM(1)"), ("+1+1", "'+1+1"),
    ("-0.5", "-0.5"), ("+3", "+3"), ("run-1", "run-1"), ("", ""),
])
def test_a_cell_is_no_formula(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


def test_markdown_gets_plain_words() -> None:
    assert markdown("<script>*a*\n# H") == r"&lt;script&gt;\*a\*\\x0a\# H"


def test_a_dollar_begins_no_formula() -> None:
    assert plot_label(r"$\frac{$") == r"\$\frac{\$"


@pytest.mark.parametrize("character", ["a", "\0", "\u202e", "\udcff"])
def test_escapes_do_not_lengthen_a_shortened_text(character: str) -> None:
    assert len(shorten(character * 10_000, 100)) <= 100
    assert shorten(character * 3, 100) == printable(character * 3)


@pytest.mark.parametrize("text", ["=1+1", "'=1+1", "''=1", "'-5", "-5", "+3", "kd", "'kd'", "", "'", "\ta", "@x", "-x"])
def test_a_cell_is_read_as_the_text_it_was_made_of(text: str) -> None:
    assert read_csv_cell(csv_cell(text)) == text
