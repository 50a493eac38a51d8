from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekd.api.evaluate.stored_rows import cache_key, read_rows
from facekd.data.evaluation_set import EvaluationSet

RESULT = {"accuracy": 0.9, "accuracy_interval": [0.8, 1.0], "auc": 0.99, "eer": 0.05, "pairs": 100,
          "tar": {"1e-2": 0.5}, "notes": []}
ROW = {"set": "LFW", "name": "lfw", "protocol": "verify", "paths": ["lfw.bin"], "status": "measured", "note": "",
       "key": "k", "result": RESULT, "figure": None}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"rows": rows}))
    return path


def test_measured_rows_are_read_by_their_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "a.json", ROW, {**ROW, "key": "", "name": "x"}, {**ROW, "status": "failed", "key": "f"})
    second = write(tmp_path / "b.json", {**ROW, "name": "other"}, {**ROW, "key": "k2"})
    rows = read_rows([first, second, tmp_path / "none.json"])
    assert {key: [row.name for row in found] for key, found in rows.items()} == {"k": ["lfw"], "k2": ["lfw"]}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("content", [
    "", "[" * 9999, "[]", "{}", '{"rows": 3}', '{"rows": [3]}', '{"rows": [{"set": "x"}]}',
    json.dumps({"rows": [{**ROW, "result": 3}]}), json.dumps({"rows": [{**ROW, "result": {**RESULT, "tar": 3}}]}),
    json.dumps({"rows": [{**ROW, "result": {"accuracy": 0.9}}]}), json.dumps({"rows": [{**ROW, "set": 3}]}),
    json.dumps({"rows": [{**ROW, "key": ["k"]}]}), json.dumps({"rows": [{**ROW, "protocol": "ijb"}]}),
])
def test_a_damaged_file_is_not_used_and_a_note_says_so(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(content)
    assert read_rows([tmp_path / "a.json"]) == {}
    note = capsys.readouterr().err
    assert "a.json" in note and note.endswith("its sets are measured again\n") and note.count("\n") == 1


def test_a_key_changes_with_the_files_and_the_facts(tmp_path: Path) -> None:
    (tmp_path / "lfw.bin").write_bytes(b"1")
    one_set = EvaluationSet("LFW", "lfw", "verify", {"pairs": tmp_path / "lfw.bin"})
    key = cache_key(one_set, ["model"])
    assert len(key) == 64 and key == cache_key(one_set, ["model"]) != cache_key(one_set, ["another"])
    (tmp_path / "lfw.bin").write_bytes(b"12")
    assert cache_key(one_set, ["model"]) != key
    (tmp_path / "lfw.bin").unlink()
    assert cache_key(one_set, ["model"]) == ""
