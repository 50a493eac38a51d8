"""The schema of ``run.json``: `tests/test_run.py` damages a whole file."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facekd.run_info import AnchorInfo, RunInfo

FACTS = {"command": "train", "outcome": "running", "started": "2026-01-31T12:00:00+0000"}


def test_the_least_that_a_run_writes_is_accepted() -> None:
    assert RunInfo.model_validate(FACTS).anchors == []


@pytest.mark.parametrize("time", ["2026-01-31", "2026inf-31T12:00:00+0000", "3.11", "", "2026-99-31T12:00:00+0000"])
def test_a_time_of_another_form_is_refused(time: str) -> None:
    with pytest.raises(ValidationError, match="a time like"):
        RunInfo.model_validate(FACTS | {"finished": time})


def test_an_anchor_names_its_point_as_text() -> None:
    """A stage may follow several points: ``"0, 4"``."""
    facts = {"epoch": 1.0, "learning_rate": 0.1, "share": 1.0, "stage_reason": "the end"}
    assert AnchorInfo.model_validate({**facts, "point": "0, 4", "file": "x"}).point == "0, 4"
    with pytest.raises(ValidationError, match="point"):
        AnchorInfo.model_validate({**facts, "point": 4})
