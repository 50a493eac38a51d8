from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.reporting.result_records import RESULTS
from facekd.reporting.run_data import load_run_data
from facekd.reporting.tables.metrics import SIZES, Rate, ijb_protocols, metrics, rates, sort_key

MakeRun = Callable[..., Path]


def test_a_metric_has_its_test_its_value_and_its_interval(make_run: MakeRun) -> None:
    run = load_run_data(make_run("a", accuracy=0.9, rank1=None))
    first = next(metrics(run))
    assert (first.key, first.label, first.short_label) == ("verify/cfp-ff/accuracy", "cfp-ff\naccuracy", "accuracy")
    assert first.value == 0.9 and first.interval == pytest.approx([0.89, 0.908])


def test_every_kind_of_result_gives_its_metrics_and_null_gives_none(make_run: MakeRun) -> None:
    run = load_run_data(make_run("a", top1=0.7, identify=0.8, ijb=0.9))
    assert [metric.key for metric in metrics(run)] == [
        "verify/cfp-ff/accuracy", "verify/cfp-ff/TAR@FAR 1e-2", "verify/cfp-ff/AUC",
        "megaface/cfp/rank 1", "megaface/cfp/TAR@FAR 1e-4",
        "ijb/ijbc/1:1 TAR@FAR 1e-4", "ijb/ijbc/rank 1", "ijb/ijbc/rank 5", "ijb/ijbc/rank 10",
        "ijb/ijbc/TPIR@FPIR 1e-2",
        "identify/staff/rank 1", "identify/staff/rank 5", "identify/staff/rank 10", "identify/staff/TPIR@FPIR 1e-2",
        "classify/things/top-1", "classify/things/top-5", "classify/things/ECE", "classify/things/agreement",
    ]


def test_identification_of_ijb_is_the_mean_of_its_galleries(make_run: MakeRun) -> None:
    run = load_run_data(make_run("a", ijb=0.9))
    values = {metric.key: metric.value for metric in metrics(run)}
    assert values["ijb/ijbc/rank 1"] == pytest.approx(0.89)


def test_rates_have_their_operating_points_and_intervals() -> None:
    result = {"tar": {"1e-2": 0.9, "1e-4": None}, "tar_interval": {"1e-2": [0.8, 1.0], "1e-4": None}}
    assert list(rates(result, "tar")) == [Rate("1e-2", 0.9, [0.8, 1.0]), Rate("1e-4", None, None)]
    assert list(rates(result, "tpir")) == []


def test_protocols_that_were_not_measured_are_empty() -> None:
    assert ijb_protocols({"verification": None, "identification": {}}) == ({}, {})


def test_tests_are_sorted_by_kind_and_name() -> None:
    tests = [("classify", "a"), ("ijb", "b"), ("verify", "z"), ("verify", "a")]
    assert sorted(tests, key=lambda test: sort_key(*test)) == [("verify", "a"), ("verify", "z"), ("ijb", "b"),
                                                               ("classify", "a")]


def test_every_kind_of_result_has_a_size_that_it_is_read_with() -> None:
    assert all(SIZES[kind][0] in schema.model_fields for kind, schema in RESULTS.items())
