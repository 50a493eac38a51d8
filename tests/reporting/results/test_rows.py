from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from facekd.reporting.results.rows import Row, row
from facekd.reporting.run_data import read_material

MakeRun = Callable[..., Path]


def changed(run: Path, **recipe: object) -> Row:
    file = run / "recipe.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **recipe}))
    return row(read_material(run))


def test_what_a_run_was(make_run: MakeRun) -> None:
    found = row(read_material(make_run("rco-seed3", 3)))
    wanted = {
        "name": "rco", "seed": 3, "verb": "distill", "model": "mobilenetv2 x0.5, 64 px, 128-d", "parameters": 849_000,
        "data": "faces/train", "data_sha256": "f00df00df00d", "images": 8395, "classes": 1554, "strategy": "equal",
        "stages": 4, "epochs": 20, "minutes": 60.0, "finished": "2026-01-02T04:04:05+0000", "hardware": "cpu2",
        "torch": "2.13", "git": "abc1234", "losses": "l2 40",
    }
    assert {key: found.get(key) for key in wanted} == wanted


def test_every_kind_of_result_gives_its_figures_and_their_intervals(make_run: MakeRun) -> None:
    found = row(read_material(make_run("a", accuracy=0.9, rank1=0.6, top1=0.7)))
    wanted = {
        "cfp-ff.accuracy": 0.9, "cfp-ff.accuracy_low": 0.89, "cfp-ff.accuracy_high": 0.908, "cfp-ff.tar@1e-2": 0.8,
        "cfp-ff.tar@1e-2_low": 0.77, "cfp-ff.auc": 0.98765, "cfp-ff.eer": 0.0456, "cfp-ff.pairs": 1400,
        "cfp.rank1": 0.6, "cfp.rank1_low": 0.58, "cfp.megaface_tar@1e-4": 0.71, "cfp.distractors": 4021,
        "things.top1": 0.7, "things.top1_high": 0.71, "things.top5": 0.9531, "things.ece": 0.0412,
        "things.agreement": 0.8071, "things.images": 9876,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_search_and_templates_give_their_figures(make_run: MakeRun) -> None:
    found = row(read_material(make_run("a", search=0.8, ijb=0.9)))
    wanted = {
        "staff.search_rank@1": 0.8, "staff.search_rank@1_low": 0.79, "staff.search_tpir@1e-2": 0.6, "staff.mated": 1234,
        "staff.unmated": 5678, "staff.gallery": 250, "ijbc.ijb_tar@1e-4": 0.95, "ijbc.ijb_tar@1e-4_high": 1.0,
        "ijbc.ijb_rank@1": 0.89, "ijbc.ijb_tpir@1e-2": 0.69, "ijbc.templates": 23124,
    }
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_what_was_too_few_to_be_given_has_no_entry(make_run: MakeRun) -> None:
    assert not [key for key in row(read_material(make_run("a"))) if "1e-6" in key]


def test_losses_are_named_with_weights_and_options(make_run: MakeRun) -> None:
    losses = {"labels": {"weight": 0.1}, "kd": {"weight": 0.9, "temperature": 4}, "hint": {"weight": 0}}
    assert changed(make_run("a"), losses=losses)["losses"] == "kd 0.9 (temperature 4) + labels 0.1"


def test_losses_that_are_not_named_are_the_usual_ones(make_run: MakeRun) -> None:
    assert changed(make_run("a"), head={"name": "softmax"})["losses"] == "kd 0.9 + labels 0.1"


def test_what_was_trained_on_labels_says_so(make_run: MakeRun) -> None:
    assert row(read_material(make_run("teacher", verb="teach")))["losses"] == "labels"


def test_a_recipe_of_another_version_still_gives_a_row(make_run: MakeRun) -> None:
    found = changed(make_run("a"), losses={"kd": {"weight": "much"}})
    assert "losses" not in found and found["name"] == "a"


def test_face_sets_of_older_runs_count_identities_and_newer_ones_classes(make_run: MakeRun) -> None:
    newer = make_run("b", info={"faces": {"content": "a" * 64, "classes": 20, "images": 10_000}})
    assert [row(read_material(run))["classes"] for run in (make_run("a"), newer)] == [1554, 20]


def test_a_run_still_going_on_has_no_minutes(make_run: MakeRun) -> None:
    run = make_run("a")
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({k: v for k, v in info.items() if k != "finished"}))
    assert "minutes" not in row(read_material(run))
