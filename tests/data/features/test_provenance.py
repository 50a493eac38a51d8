from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekd.data.features.provenance import Provenance, read_identity, read_provenance, write_provenance

IDENTITY = {"model": "1a2b3c4d" * 8, "flip": True, "size": 112, "images": "ff" * 32, "rows": 3, "dtype": "float32"}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_provenance(tmp_path / "f.npy", IDENTITY, "student", {"python": "3"})
    assert read_identity(tmp_path / "f.npy") == IDENTITY
    provenance = read_provenance(tmp_path / "f.npy")
    assert provenance == Provenance("1a2b3c4d" * 8, "student", True, 112, "ff" * 32, 3)
    assert provenance.label == "student (1a2b3c4d)"


def test_features_without_such_a_file_have_none(tmp_path: Path) -> None:
    assert (read_identity(tmp_path / "f.npy"), read_provenance(tmp_path / "f.npy")) == ({}, None)


@pytest.mark.parametrize("content", [
    "", "[" * 100_000, '{"identity": 3}', '{"format": "facekd.features", "version": 1, "identity": [1], "name": "x"}',
    '{"format": "facekd.run", "version": 1}', '{"format": "facekd.features", "version": 99}', "\x00\xff",
])
def test_a_file_that_is_damaged_or_of_another_program_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "f.json").write_text(content, encoding="latin-1")
    assert (read_identity(tmp_path / "f.npy"), read_provenance(tmp_path / "f.npy")) == ({}, None)


@pytest.mark.parametrize(("key", "value"), [
    ("model", 3), ("model", None), ("flip", 1), ("size", 112.0), ("images", []), ("rows", True),
])
def test_a_fact_of_another_kind_is_no_provenance(tmp_path: Path, key: str, value: Any) -> None:
    write_provenance(tmp_path / "f.npy", {**IDENTITY, key: value}, "student", {})
    assert read_provenance(tmp_path / "f.npy") is None


def test_a_name_from_elsewhere_is_shown_in_short_and_printable(tmp_path: Path) -> None:
    content = {"format": "facekd.features", "version": 1, "identity": IDENTITY, "name": "\x1b]0;x\x07" + "n" * 9999}
    (tmp_path / "f.json").write_text(json.dumps(content))
    provenance = read_provenance(tmp_path / "f.npy")
    assert provenance is not None
    assert "\x1b" not in provenance.label and len(provenance.label) < 120
