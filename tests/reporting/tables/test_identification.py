from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rich.console import Console

from facekd.data.feature_set import ArrayFeatures
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.result import IdentificationResult
from facekd.reporting.tables.identification import identification_notes, identification_table

FARS = ("1e-1", "1e-9")


@pytest.fixture(scope="module")
def result() -> IdentificationResult:
    """Two people with two images each among three distractors, of which none is closer than the mates."""
    probes = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    distractors = np.eye(4, dtype=np.float32)[[2, 3, 2]]
    labels = np.array([0, 0, 1, 1])
    return identify(ArrayFeatures(probes, labels=labels), ArrayFeatures(distractors), FARS, resamples=5)


def printed(table: Any) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_a_result_is_a_row_with_its_sizes_and_rates(result: IdentificationResult) -> None:
    text = printed(identification_table({"clean": result, "raw": result}))
    assert identification_table({"clean": result, "raw": result}).row_count == 2
    assert "clean" in text and "raw" in text and "100.00" in text and "[100.00, 100.00]" in text


def test_a_far_that_no_result_could_measure_has_no_column(result: IdentificationResult) -> None:
    assert result.tar["1e-9"] is None
    text = printed(identification_table({"a": result}))
    assert "1e-9" not in text


def test_a_note_of_several_results_appears_once(result: IdentificationResult) -> None:
    notes = identification_notes({"a": result, "b": result})
    assert notes == list(result.notes) and len(set(notes)) == len(notes) > 0
