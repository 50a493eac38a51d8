from __future__ import annotations

import json
from pathlib import Path

import pytest

import facekd
from facekd.api.evaluate.results import result_name, result_output, save_result
from facekd.errors import DataError, SetupError
from facekd.run import Run
from tests.held_lock import held_lock


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


@pytest.mark.parametrize("name", ["../../../evil", "a/b", "/a/x", "..", "", "-x", "a\\b", "a\nb", "n" * 151])
def test_a_name_that_leads_out_of_the_results_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"--name .* is (no plain name|too long)"):
        result_name(name, "default")


@pytest.mark.parametrize(("default", "name"), [
    ("cfp_fp", "cfp_fp"), ("..", "result"), (".hidden", "hidden"), ("a\nb", "a_x0ab"), ("\udcff", "_xff"),
    ("\u00e9" * 200, "\u00e9" * 75), ("", "result"),
])
def test_the_name_of_any_file_gives_the_name_of_a_result(default: str, name: str) -> None:
    assert result_name(None, default) == name
    assert result_name("mine", default) == "mine"


def test_what_cannot_be_written_is_refused_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for json_file in (tmp_path, tmp_path / "file" / "out.json", tmp_path / f"{'n' * 300}.json"):
        with pytest.raises(SetupError, match="choose "), \
             result_output("verify", "x", model=None, json=json_file):
            pytest.fail("the work must not begin")
    (run.results / "verify-x.json").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"verify-x\.json is a folder"), \
         result_output("verify", "x", model=run.path, json=None):
        pytest.fail("the work must not begin")


@pytest.mark.parametrize("of_run", [False, True])
def test_a_result_that_another_process_writes_is_refused(run: Run, tmp_path: Path, of_run: bool) -> None:
    file = run.results / "verify-x.json" if of_run else tmp_path / "out.json"
    arguments = {"model": run.path, "json": None} if of_run else {"model": None, "json": file}
    with held_lock(file), pytest.raises(SetupError, match="is being written by process"), \
         result_output("verify", "x", **arguments):  # type: ignore[arg-type]
        pytest.fail("the work must not begin")


def test_a_result_that_would_replace_an_input_is_refused(tmp_path: Path) -> None:
    inputs = [tmp_path / "pairs.csv", None]
    for json_file in ("pairs.csv", "x/../pairs.csv", "f.npy", "f.json", "m.onnx"):
        with pytest.raises(DataError, match=r"--json .* would replace an input"), \
             result_output("verify", "x", model=tmp_path / "m.onnx", json=tmp_path / json_file, inputs=inputs,
                           features=[tmp_path / "f.npy"]):
            pytest.fail("the work must not begin")
    with result_output("verify", "x", model=tmp_path / "m.onnx", json=tmp_path / "pairs.json", inputs=inputs):
        pass


def test_paths_that_are_not_utf8_come_into_the_result(tmp_path: Path) -> None:
    save_result("ijb", "x", {"features": "\udcff.npy"}, model=None, embedder=None, json=tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())["features"] == "\udcff.npy"
