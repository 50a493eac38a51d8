"""Every module of facekd that reads files is fuzzed, or reads only what facekd or the machine made."""

from __future__ import annotations

import ast

import pytest

from tests.fuzz.coverage import PACKAGE, opening_modules, reading_calls
from tests.fuzz.mutators import MUTATORS
from tests.fuzz.registry import PARSERS, WITHOUT

COVERED = {module for parser in PARSERS.values() for module in parser.modules}


def test_every_module_that_reads_files_has_a_parser_or_a_reason() -> None:
    assert sorted(module for module in opening_modules() if module not in COVERED | WITHOUT.keys()) == []


def test_reasons_are_of_modules_that_read_files_and_have_no_parser() -> None:
    assert sorted(module for module in WITHOUT if module in COVERED or module not in opening_modules()) == []


def test_parsers_cover_modules_that_exist() -> None:
    assert sorted(module for module in COVERED if not (PACKAGE / module).is_file()) == []


def test_a_long_run_gives_twenty_thousand_inputs_to_each_parser() -> None:
    assert len(PARSERS) <= 55


def test_every_file_pattern_names_a_mutator() -> None:
    assert {kind for parser in PARSERS.values() for kind in parser.targets.values()} <= MUTATORS.keys()


@pytest.mark.parametrize("code", [
    "path.read_bytes()", "np.load(x)", "open(x)", "path.open()", "path.open('rb')", "tarfile.open(p)",
    "zipfile.ZipFile(p)", "ort.InferenceSession(p)", "open(x, 'r+b')",
])
def test_calls_that_read_files_are_found(code: str) -> None:
    assert list(reading_calls(ast.parse(code)))


@pytest.mark.parametrize("code", [
    "load(x)", "open(x, 'wb')", "path.open('w', encoding='utf-8')", "Route.open(p)", "handle.read()",
])
def test_calls_that_only_write_or_are_of_facekd_are_not_found(code: str) -> None:
    assert not list(reading_calls(ast.parse(code)))
