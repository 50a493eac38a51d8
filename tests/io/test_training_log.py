"""A training log survives a loss of power."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.io.training_log import read_log


@pytest.mark.parametrize("damaged", [
    "{", "\0\0\0", "[1]", "{}", '{"step": "1"}', '{"step": 1.5}', "[" * 100_000, '{"step": 1' + "0" * 5000 + "}",
])
def test_a_damaged_line_of_the_log_is_left_out_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damaged: str
) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'{"step": 1}\n' + damaged.encode() + b"\xff\n" + b'{"step": 3, "loss": NaN}\n')
    assert [line["step"] for line in read_log(file)] == [1, 3]
    assert "log.jsonl: 1 of 3 lines are damaged and are left out" in capsys.readouterr().err


def test_a_half_written_last_line_is_no_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"st')
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}]
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path)
