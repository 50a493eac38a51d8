from __future__ import annotations

import json
from pathlib import Path

import facekd
from facekd.api.evaluate.results import save_result
from facekd.run import Run


def test_the_result_of_a_run_is_written_to_the_run_and_to_the_given_file(run: Run, tmp_path: Path) -> None:
    embedder = facekd.load(run.path)
    folder = save_result("verify", "cfp", {"accuracy": 0.9}, model=run.path, embedder=embedder,
                         json=tmp_path / "out.json")
    assert folder == run.results
    content = json.loads((run.results / "verify-cfp.json").read_text())
    assert content == json.loads((tmp_path / "out.json").read_text())
    assert {name: content[name] for name in ("accuracy", "kind", "name", "model", "model_sha256")} == {
        "accuracy": 0.9, "kind": "verify", "name": "cfp", "model": str(run.path), "model_sha256": embedder.fingerprint}
    assert {"hardware", "command_line"} < content.keys()


def test_the_result_of_features_is_written_to_the_given_file_only(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert save_result("megaface", "mine", {}, model=None, embedder=None, json=out) is None
    assert json.loads(out.read_text())["model_sha256"] is None and not run.results.exists()


def test_a_model_file_has_no_results_folder(run: Run) -> None:
    embedder = facekd.load(run.model)
    assert save_result("verify", "cfp", {}, model=run.model, embedder=embedder, json=None) is None
    assert not run.results.exists()
