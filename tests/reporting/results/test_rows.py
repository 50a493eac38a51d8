from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.reporting.results.rows import result_row
from facekd.reporting.run_data import load_run_data

MakeRun = Callable[..., Path]


def test_what_a_run_was(make_run: MakeRun) -> None:
    row = result_row(load_run_data(make_run("rco-seed3", 3)))
    wanted = {
        "name": "rco", "seed": 3, "command": "distill", "model": "mobilenetv2 x0.5, 64 px, 128-d",
        "parameters": 849_000, "data": "faces/train", "data_sha256": "f00df00df00d", "images": 8395,
        "classes": 1554, "strategy": "equal",
        "stages": 4, "epochs": 20, "minutes": 60.0, "finished": "2026-01-02T04:04:05+0000", "hardware": "cpu2",
        "torch": "2.13", "git": "abc1234", "losses": "l2 40",
    }
    assert {key: row.get(key) for key in wanted} == wanted


def test_every_kind_of_result_gives_its_figures_and_their_intervals(make_run: MakeRun) -> None:
    row = result_row(load_run_data(make_run("a", accuracy=0.9, rank1=0.6, top1=0.7)))
    wanted = {
        "cfp-ff.accuracy": 0.9, "cfp-ff.accuracy_low": 0.89, "cfp-ff.accuracy_high": 0.908, "cfp-ff.tar@1e-2": 0.8,
        "cfp-ff.tar@1e-2_low": 0.77, "cfp-ff.auc": 0.98765, "cfp-ff.eer": 0.0456, "cfp-ff.pairs": 1400,
        "cfp.rank1": 0.6, "cfp.rank1_low": 0.58, "cfp.megaface_tar@1e-4": 0.71, "cfp.distractors": 4021,
        "things.top1": 0.7, "things.top1_high": 0.71, "things.top5": 0.9531, "things.ece": 0.0412,
        "things.agreement": 0.8071, "things.images": 9876,
    }
    assert {key: row[key] for key in wanted} == pytest.approx(wanted)


def test_identification_and_templates_give_their_figures(make_run: MakeRun) -> None:
    row = result_row(load_run_data(make_run("a", identify=0.8, ijb=0.9)))
    wanted = {
        "staff.identify_rank@1": 0.8, "staff.identify_rank@1_low": 0.79, "staff.identify_tpir@1e-2": 0.6,
        "staff.mated": 1234, "staff.unmated": 5678, "staff.gallery_identities": 250, "ijbc.ijb_tar@1e-4": 0.95,
        "ijbc.ijb_tar@1e-4_high": 1.0, "ijbc.ijb_rank@1": 0.89, "ijbc.ijb_tpir@1e-2": 0.69, "ijbc.templates": 23124,
    }
    assert {key: row[key] for key in wanted} == pytest.approx(wanted)


def test_what_was_too_few_to_be_given_has_no_entry(make_run: MakeRun) -> None:
    assert not [key for key in result_row(load_run_data(make_run("a"))) if "1e-6" in key]


def test_losses_are_those_that_the_run_recorded(make_run: MakeRun) -> None:
    run = make_run("a", info={"losses": "kd 0.9 (temperature 4) + labels 0.1"})
    assert result_row(load_run_data(run))["losses"] == "kd 0.9 (temperature 4) + labels 0.1"


def test_a_run_without_recorded_losses_still_gives_a_row(make_run: MakeRun) -> None:
    row = result_row(load_run_data(make_run("a", info={"losses": None})))
    assert "losses" not in row and row["name"] == "a"


def test_what_was_trained_on_labels_says_so(make_run: MakeRun) -> None:
    assert result_row(load_run_data(make_run("teacher", command="train")))["losses"] == "labels"


def test_a_run_still_going_on_has_no_minutes(make_run: MakeRun) -> None:
    run = make_run("a")
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({k: v for k, v in info.items() if k != "finished"}))
    assert "minutes" not in result_row(load_run_data(run))
