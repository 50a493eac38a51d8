"""The thresholds that are kept with a model."""

from __future__ import annotations

from pathlib import Path

import pytest

import facekd
from facekd.api.evaluate.stored_thresholds import find_threshold, missing_threshold, stored_verifications
from facekd.errors import DataError
from facekd.io import files
from facekd.run import Run


def test_thresholds_of_all_impostor_pairs_go_first(run: Run) -> None:
    content = {"thresholds": {"0.01": 0.2, "1e-1": 0.1}, "all_impostors": {"thresholds": {"1e-2": 0.4, "1e-4": None}}}
    files.write_json(run.results / "verify-a.json", content)
    embedder = facekd.load(run.path)
    found = find_threshold(run.path, embedder, "1e-2")
    assert found is not None and found[0] == 0.4
    of_list = find_threshold(run.path, embedder, "0.1")
    assert of_list is not None and of_list[0] == 0.1
    assert find_threshold(run.path, embedder, "1e-4") is None


def test_results_of_other_weights_are_left_out(run: Run) -> None:
    files.write_json(run.results / "verify-a.json", {"thresholds": {"1e-2": 0.2}, "model_sha256": "of older weights"})
    assert list(stored_verifications(run.path, facekd.load(run.path))) == []


def test_a_file_has_its_results_beside_it(run: Run) -> None:
    kept = run.model.with_name(run.model.name + ".results") / "verify-a.json"
    files.write_json(kept, {"thresholds": {"1e-2": 0.2}, "flip": False})
    (stored,) = stored_verifications(run.model, facekd.load(run.model))
    assert (stored.source, stored.flip, stored.threshold("1e-2")) == (kept, False, 0.2)


def test_a_named_result_must_be_of_the_model(run: Run, tmp_path: Path) -> None:
    files.write_json(tmp_path / "other.json", {"kind": "verify", "model_sha256": "x"})
    with pytest.raises(DataError, match=r"other\.json is no verification result of this model"):
        list(stored_verifications(run.path, facekd.load(run.path), tmp_path / "other.json"))


def test_the_advice_names_commands_and_options(run: Run, tmp_path: Path) -> None:
    assert f"facekd eval verify --model {run.path}" in missing_threshold(run.path, "1e-3")
    files.write_json(tmp_path / "metadata.json", {})
    assert "export it with --pairs" in missing_threshold(tmp_path, "1e-3")
