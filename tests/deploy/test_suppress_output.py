from __future__ import annotations

import logging
import sys
import warnings

import pytest

from facekd.deploy.suppress_output import suppress_output


def test_prints_warnings_and_records_below_error_are_suppressed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(record=True) as recorded, suppress_output():
        print("converting")
        print("converting", file=sys.stderr)
        warnings.warn("deprecated", stacklevel=1)
        logging.getLogger("converter").warning("slow")
        logging.getLogger("converter").error("failed")
    assert capsys.readouterr() == ("", "")
    assert recorded == []
    assert [record.message for record in caplog.records] == ["failed"]


def test_an_exception_propagates_and_output_works_again(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError, match="no kernel"), suppress_output():
        raise RuntimeError("no kernel")
    print("done")
    logging.getLogger("converter").warning("slow")
    assert capsys.readouterr().out == "done\n"
    assert [record.message for record in caplog.records] == ["slow"]


def test_a_level_that_was_disabled_before_stays_disabled(caplog: pytest.LogCaptureFixture) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with suppress_output():
            pass
        assert logging.root.manager.disable == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)
