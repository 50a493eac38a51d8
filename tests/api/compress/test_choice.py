from __future__ import annotations

from typing import Any

import pytest

from facekd.api.compress.choice import BYTES_MARGIN, MIN_COSINE, MIN_SHARE, Budget, choose_network
from facekd.reporting.compression import CompressedModel


def model(precision: str = "int8", **facts: Any) -> CompressedModel:
    usual = {"parameters": 1_000_000, "macs": 200_000_000, "bytes": 1_200_000, "milliseconds": 8.0, "cosine": 0.99}
    return CompressedModel(network="teacher", precision=precision, file="teacher.onnx", **{**usual, **facts})


TEACHER = [model("fp32", bytes=4_000_000, cosine=1.0), model("fp16", bytes=2_000_000, cosine=0.9999), model()]


@pytest.mark.parametrize(("budget", "precision"), [
    (Budget(bytes=5_000_000), "fp32"), (Budget(bytes=3_000_000), "fp16"), (Budget(bytes=1_200_000), "int8"),
    (Budget(bytes=3_000_000, macs=200_000_000, milliseconds=8), "fp16"),
])
def test_the_teacher_s_nearest_file_within_the_budget_is_taken(budget: Budget, precision: str) -> None:
    choice = choose_network(TEACHER, "", budget)
    assert (choice.kind, choice.precision) == ("teacher", precision)


def test_a_file_that_is_far_from_the_teacher_is_taken_with_a_warning() -> None:
    far = [*TEACHER[:2], model(cosine=MIN_COSINE - 0.01)]
    choice = choose_network(far, "", Budget(bytes=1_300_000))
    assert choice.kind == "teacher" and "its mean cosine to the teacher is only 0.940" in choice.reason


def test_the_part_has_the_share_that_the_budget_leaves() -> None:
    choice = choose_network(TEACHER, "", Budget(bytes=600_000, macs=50_000_000, milliseconds=4))
    assert (choice.kind, choice.share) == ("part", 0.25) and 0 < choice.weight_share < 1
    choice = choose_network(TEACHER, "", Budget(milliseconds=4))
    assert (choice.share, choice.weight_share) == (0.5, 1.0)


@pytest.mark.parametrize("limit", [150_000, 600_000, 1_000_000])
def test_the_bytes_of_a_part_are_those_of_its_weights_and_of_its_channels(limit: int) -> None:
    _, share = Budget(bytes=limit).share_of(TEACHER[2])
    assert 1_000_000 * share + 200_000 * share**0.5 == pytest.approx(BYTES_MARGIN * limit)


def test_a_measured_part_of_a_public_teacher_is_predicted() -> None:
    """51.1 % of the weights of a MobileFaceNet of 0.9936 M parameters and 1.33 MB gave a file of 0.76 MB."""
    _, share = Budget(bytes=round(0.76e6 / BYTES_MARGIN)).share_of(model(parameters=993_600, bytes=1_330_000))
    assert share == pytest.approx(0.511, abs=0.02)


def test_below_the_smallest_part_a_fresh_student_is_trained() -> None:
    choice = choose_network(TEACHER, "", Budget(macs=round(0.9 * MIN_SHARE * 2e8)))
    assert choice.kind == "student" and "too little for a part of it (at least 10%)" in choice.reason


def test_a_teacher_that_cannot_be_read_leads_to_a_fresh_student() -> None:
    choice = choose_network([], "t.onnx holds the operator Softplus", Budget(bytes=1_000_000))
    assert choice.kind == "student" and "holds the operator Softplus" in choice.reason


def test_a_file_that_was_not_timed_does_not_meet_a_latency() -> None:
    assert not Budget(milliseconds=100).is_met_by(model(milliseconds=None))


def test_texts_are_parsed_and_given_back() -> None:
    budget = Budget.parse("0.5MiB", "100M", "800us")
    assert (budget.bytes, budget.macs, budget.milliseconds) == (524_288, 100_000_000, 0.8)
    assert budget.to_texts() == ("524288B", "100000000", "0.8ms") and Budget.parse(*budget.to_texts()) == budget
    assert Budget.parse(None, None, None) == Budget(bytes=1_000_000)
    assert Budget.parse(None, "1M", None) == Budget(macs=1_000_000)
