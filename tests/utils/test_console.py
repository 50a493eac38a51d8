"""Consoles: text as it is, tables at a fixed width into files, and silence on all ranks but the first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rich.table import Table

from facekd.utils.console import FILE_WIDTH, console, is_first_process, notify


def test_equal_calls_return_the_same_console() -> None:
    assert console() is console()
    assert console(stderr=True) is console(stderr=True)
    assert console() is not console(stderr=True)


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "runs/[bold]x[/bold] :smile: " + "word " * 100
    console().print(text)
    assert capsys.readouterr().out == text + "\n"


def test_errors_go_to_the_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console(stderr=True).print("problem")
    assert capsys.readouterr() == ("", "problem\n")


def test_tables_in_a_file_are_wide(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("x" * 150)
    console().print(table, soft_wrap=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) in range(150, FILE_WIDTH + 1)


@pytest.mark.parametrize(("rank", "results", "errors"), [
    ("0", "result\n", "every\nnote\nfacekd: notice\n"), ("1", "", "every\n"),
])
def test_the_rank_is_looked_up_at_every_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, results: str, errors: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    assert is_first_process() == (rank == "0")
    console().print("result")
    console(stderr=True, every_process=True).print("every")
    console(stderr=True).print("note")
    notify("notice")
    assert capsys.readouterr() == (results, errors)


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1:strict"])
def test_a_note_is_printable_in_every_encoding(encoding: str) -> None:
    code = "from facekd.utils.console import notify; notify('a\\x1b\\n\\udcff\u00e9\u20ac')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    text = process.stderr.decode(encoding.split(":")[0])
    assert text.startswith("facekd: a\\x1b\\x0a\\xff")
    assert text.count("\n") == 1


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, facekd.utils.console, facekd.utils.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_control_characters_and_bytes_that_are_not_utf8_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("run \x1b[31m")
    table.add_row("\x1b]0;title\x07 \udcff")
    console().print("a\x1b]0;x\x07\r\nb")
    console().print(table, soft_wrap=False)
    text = capsys.readouterr().out
    assert "\x1b" not in text and "\x07" not in text and "\udcff" not in text
    assert "a\\x1b]0;x" in text and "\\x1b]0;title" in text and "\\xff" in text
