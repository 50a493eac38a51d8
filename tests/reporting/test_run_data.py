from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.errors import DataError, FacekdError
from facekd.models.complexity import count_macs
from facekd.models.registry import create
from facekd.reporting.result_records import RESULTS
from facekd.reporting.run_data import load_run_data

MakeRun = Callable[..., Path]


def test_every_file_of_a_run_is_read(make_run: MakeRun) -> None:
    folder = make_run("student-seed3", 3)
    run = load_run_data(folder)
    assert (run.path, run.name, run.hardware, run.finished) == (folder, "student-seed3", "cpu2", True)
    assert run.recipe["seed"] == 3 and run.recipe_text == (folder / "recipe.yaml").read_text()
    assert len(run.log) == 80 and run.log[-1]["step"] == 800
    assert [anchor["point"] for anchor in run.anchors] == ["4", "9", "14", "19"]
    assert run.points == [] and run.package is None


def test_the_route_of_a_teacher_is_read(make_run: MakeRun) -> None:
    run = load_run_data(make_run("teacher", command="train"))
    assert run.points == [float(epoch) for epoch in range(2, 21, 2)] and run.anchors == []


def test_results_are_sorted_by_kind_and_named_after_their_files(make_run: MakeRun) -> None:
    run = load_run_data(make_run("a", top1=0.7, identify=0.8, ijb=0.9))
    assert [(kind, result["name"]) for kind, result in run.all_results] == [
        ("verify", "cfp-ff"), ("megaface", "cfp"), ("ijb", "ijbc"), ("identify", "staff"), ("classify", "things")]
    assert list(run.results) == list(RESULTS)


def test_anchors_are_those_followed_once_they_are_known(make_run: MakeRun) -> None:
    followed = [{"point": "7", "epoch": 8.0, "learning_rate": 0.1, "share": 1.0, "stage_reason": "the end"}]
    assert load_run_data(make_run("a", info={"followed_anchors": followed})).anchors == followed


def test_a_run_that_has_just_begun_is_read(make_run: MakeRun) -> None:
    folder = make_run("a", accuracy=None, rank1=None, info={"outcome": "running"})
    (folder / "log.jsonl").unlink()
    run = load_run_data(folder)
    assert not run.finished and run.log == [] and run.all_results == []


def test_the_picture_of_pairs_is_that_of_its_result(make_run: MakeRun) -> None:
    folder = make_run("a")
    (folder / "results" / "verify-cfp-ff.jpg").write_bytes(b"picture")
    run = load_run_data(folder)
    assert run.pair_grid(run.results["verify"][0]) == b"picture" and run.pair_grid({"name": "other"}) is None


def test_multiply_adds_are_those_recorded_else_counted_else_unknown(make_run: MakeRun) -> None:
    spec = {"name": "mobilenetv2", "size": 64, "outputs": 128, "options": {"width": 0.5}}
    counted = count_macs(create("mobilenetv2", size=64, outputs=128, width=0.5), 64)
    assert load_run_data(make_run("a", info={"macs": 12})).macs() == 12
    assert load_run_data(make_run("b", info={"model": spec})).macs() == counted
    assert load_run_data(make_run("c", info={"model": {**spec, "name": "unheard-of"}})).macs() is None
    assert load_run_data(make_run("d", info={"model": None})).macs() is None


LINE = '{"step": 3, "epoch": 1, "stage": 0, "learning_rate": 0.1, "loss": 0.5}\n'


@pytest.mark.parametrize(("name", "content", "message"), [
    ("recipe.yaml", "a: [", r"recipe\.yaml cannot be read"),
    ("recipe.yaml", "only text", r"recipe\.yaml is no recipe of a run"),
    ("recipe.yaml", "head: 5", r"recipe\.yaml is no recipe of a run"),
    ("recipe.yaml", "seed: {}", r"'seed' must be a whole number"),
    ("recipe.yaml", "training: {epochs: many}", r"'training\.epochs' must be a number"),
    ("log.jsonl", '{"step": 3}\n', r"log\.jsonl: the line of step 3 is none of a training"),
    ("log.jsonl", LINE.replace("0.5", "[0.5]"), r"log\.jsonl: the line of step 3 is none of a training"),
    ("log.jsonl", LINE.replace("0.5", "1" + "0" * 400), r"log\.jsonl: the line of step 3 is none of a training"),
    ("results/identify-x.json", "{}", r"identify-x\.json is damaged: 'notes' is missing, .*delete it and evaluate"),
    ("results/verify-x.json", "[" * 50_000, r"verify-x\.json cannot be read as JSON \(it is nested too deeply"),
    ("route/route.json", "{}", r"route\.json is not a route file"),
])
def test_a_damaged_file_is_named(make_run: MakeRun, name: str, content: str, message: str) -> None:
    folder = make_run("a")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(FacekdError, match=message):
        load_run_data(folder)


def test_an_ijb_result_without_pairs_or_galleries_is_complete(make_run: MakeRun) -> None:
    folder = make_run("a", ijb=0.9)
    file = folder / "results" / "ijb-ijbc.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"verification": None, "identification": {}}))
    assert load_run_data(folder).results["ijb"][0]["verification"] is None


@pytest.mark.parametrize(("kind", "version", "message"), [
    ("package", 1, "export it again"), ("package", 99, "upgrade facekd"), ("plan", 1, "not a package file")])
def test_a_package_of_another_format_is_refused(make_run: MakeRun, kind: str, version: int, message: str) -> None:
    folder = make_run("a")
    (folder / "package").mkdir()
    metadata = {"format": f"facekd.{kind}", "version": version, "files": {}}
    (folder / "package" / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(DataError, match=message):
        load_run_data(folder)


@pytest.mark.parametrize("model", [
    {"name": "mlp", "size": 10**17, "outputs": 2}, {"name": "mlp", "size": 64, "outputs": 10**17},
    {"name": "lenet", "size": 1024, "outputs": 2, "options": {"width": 1e300}}, {"name": "x" * 1000},
])
def test_an_impossible_network_has_no_cost(make_run: MakeRun, model: dict[str, object]) -> None:
    assert load_run_data(make_run("a", info={"model": model})).macs() is None


def test_the_name_of_a_result_is_that_of_its_file(make_run: MakeRun) -> None:
    """A name in the file could lead to pictures outside of the run."""
    folder = make_run("a")
    file = folder / "results" / "verify-cfp-ff.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "../../elsewhere"}))
    assert load_run_data(folder).results["verify"][0]["name"] == "cfp-ff"
