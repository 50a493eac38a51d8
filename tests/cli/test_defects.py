"""What is no message of ours: a lack of memory has a remedy, and a defect has its traceback in a file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from facekd.cli.defects import describe_defect, describe_out_of_memory
from facekd.errors import DataError
from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]
Raise = Callable[[BaseException], None]


@pytest.fixture
def doctor_raises(record_calls: Callable[..., list[RecordedCall]], monkeypatch: pytest.MonkeyPatch) -> Raise:
    """``doctor_raises(error)`` makes the function of ``facekd doctor`` raise it."""

    def install(error: BaseException) -> None:
        def fail(*arguments: object, **options: object) -> None:
            raise error

        monkeypatch.setattr("facekd.api.data.doctor.doctor", fail)

    return install


def traceback_file(message: str) -> Path:
    found = re.search(r"The traceback is in (\S+);", message)
    assert found
    return Path(found[1])


def test_a_defect_ends_with_3_and_names_the_file_of_the_traceback(
    run_cli: RunCli, doctor_raises: Raise, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    doctor_raises(KeyError("no\x1bsuch"))
    assert run_cli("doctor", "faces", "--json", "a b.json") == 3
    error = capsys.readouterr().err
    assert error.startswith("facekd: a defect of facekd, not a mistake of yours: KeyError at test_defects.py:")
    assert error.count("\n") == 1
    assert "\x1b" not in error
    text = traceback_file(error).read_text(encoding="utf-8")
    assert "\nfacekd doctor faces --json 'a b.json'\n" in text
    assert "Traceback (most recent call last)" in text
    assert traceback_file(error).parent == tmp_path


def test_a_traceback_that_cannot_be_written_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/none")
    message = describe_defect(ValueError("text"))
    assert "could not be written" in message
    assert message.endswith("ValueError: text\n")


@pytest.mark.parametrize(("error", "code", "text"), [
    (DataError("message"), 2, "facekd: message\n"),
    (MemoryError(), 2, "facekd: the memory is not enough (no more can be allocated); use smaller values"),
    (KeyboardInterrupt(), 130, "stopped; the same command continues\n"),
])
def test_the_other_exit_codes(run_cli: RunCli, doctor_raises: Raise, capsys: pytest.CaptureFixture[str],
                              error: BaseException, code: int, text: str) -> None:
    doctor_raises(error)
    assert run_cli("doctor", "faces") == code
    assert capsys.readouterr().err.startswith(text)


def test_torch_without_memory_is_recognized() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert "use smaller values" in (describe_out_of_memory(caught.value) or "")
    assert describe_out_of_memory(RuntimeError("shape mismatch")) is None
