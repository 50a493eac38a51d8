"""The short form of the fuzzing room, and the inputs that once broke the contract."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from facekd.errors import DataError, RecipeError
from tests.fuzz.inputs import CASES, make_input
from tests.fuzz.mutators import MUTATORS
from tests.fuzz.outcome import judge
from tests.fuzz.parser import Parser
from tests.fuzz.registry import PARSERS
from tests.fuzz.table import render

ROOT = Path(__file__).resolve().parents[2]
INPUTS = 3000
"""Inputs of the short form, of all parsers together."""


def test_damaged_files_are_refused_and_old_violations_stay_mended(tmp_path: Path) -> None:
    result = tmp_path / "out.json"
    options = ["--inputs", str(INPUTS), "--seed", "19", "--json", str(result)]
    command = [sys.executable, "-m", "tests.fuzz", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-4000:] + ended.stdout[-4000:]
    rows = json.loads(result.read_text())["parsers"]
    assert rows.keys() == PARSERS.keys()
    assert all(row["inputs"] >= INPUTS // len(PARSERS) and row["violations"] == 0 for row in rows.values())
    assert sum(row["accepted"] for row in rows.values()) > 0.02 * INPUTS
    assert sum(row["refused"] for row in rows.values()) > 0.3 * INPUTS


def test_every_regression_case_belongs_to_a_parser() -> None:
    assert {file.stem for file in CASES.glob("*.json")} <= PARSERS.keys()


@pytest.mark.parametrize("kind", sorted(MUTATORS))
def test_a_mutator_is_seeded_and_damages(kind: str) -> None:
    data = b'{"a": [1, 2.5, "x"]}\n' * 9
    results = [MUTATORS[kind](Random(number), data, [data, b"other"]) for number in range(60)]
    assert results == [MUTATORS[kind](Random(number), data, [data, b"other"]) for number in range(60)]
    assert sum(result != data for result in results) > 45


def test_an_input_depends_on_seed_and_number_alone() -> None:
    parser = Parser("x", [], lambda folder: [], lambda folder: None, {"*.txt": "text"})
    seeds = [{"a.txt": b"1 2 3\n", "b.bin": b"x"}, {"a.txt": b"4\n"}]
    first = make_input(parser, seeds, 3, 14)
    assert make_input(parser, seeds, 3, 14) == first
    assert set(first.changes) == {"a.txt"}
    assert len({str(make_input(parser, seeds, 3, number)) for number in range(50)}) > 40


def _raise(error: BaseException) -> None:
    raise error


def _chained() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise DataError("x cannot be read; restore it") from error


@pytest.mark.parametrize(("read", "violation"), [
    (lambda: _raise(KeyError("a")), "KeyError at test_fuzz.py"), (lambda: _raise(SystemExit()), "SystemExit at"),
    (lambda: _raise(RecipeError(["one", "two"], "r.yaml")), "a message of 3 lines"),
    (_chained, "an allocation that failed"),
])
def test_what_breaks_the_contract_is_a_violation(read: object, violation: str, tmp_path: Path) -> None:
    outcome = judge(lambda folder: read(), tmp_path)  # type: ignore[operator]
    assert violation in outcome.violation and not outcome.accepted


def test_an_error_of_facekd_is_a_refusal_and_no_error_is_acceptance(tmp_path: Path) -> None:
    refused = judge(lambda folder: _raise(DataError("x is damaged; restore it")), tmp_path)
    assert (refused.accepted, refused.violation) == (False, "")
    accepted = judge(lambda folder: None, tmp_path)
    assert (accepted.accepted, accepted.violation) == (True, "")


def test_a_table_has_a_line_for_each_parser_and_one_for_all() -> None:
    row = {"inputs": 10, "accepted": 4, "refused": 6, "violations": 0, "slowest_seconds": 0.25, "peak_bytes": 1 << 20}
    lines = render({"parsers": {"b": row, "a": row}}).splitlines()
    assert lines[2] == "| a | 10 | 4 | 6 | 0 | 0.25 | 1 |"
    assert lines[4] == "| all | 20 | 8 | 12 | 0 | 0.25 | 1 |"
