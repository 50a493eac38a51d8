"""Verdicts on curves whose fate is known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from facekd.methods.teacher_fit import NEEDS_IMAGES, UNDERFITTED, TeacherFit, judge_fit

Log = list[dict[str, Any]]


def curve(cosines: list[float], held_out: float | None = None, stage: int = 0) -> Log:
    log: Log = [{"step": 20 * n, "stage": stage, "teacher_cosine": cosine} for n, cosine in enumerate(cosines, 1)]
    if held_out is not None:
        log[-1]["held_out_cosine"] = held_out
    return log


def saturating(limit: float, lines: int = 100, scale: float = 10) -> list[float]:
    """Rises to a limit and stays there."""
    return [limit * (1 - math.exp(-n / scale)) for n in range(1, lines + 1)]


def logarithmic(gain: float, lines: int = 100) -> list[float]:
    """Gains as much with every doubling of the steps."""
    return [gain * math.log2(1 + n) for n in range(1, lines + 1)]


def verdict(log: Log, images: int = 500, **values: Any) -> str:
    fit = judge_fit(log, images, **values)
    assert fit is not None
    return fit.verdict


@pytest.mark.parametrize(("log", "expected"), [
    (curve(logarithmic(0.06), 0.38), UNDERFITTED),  # 0.4 and another 0.06 by doubling
    (curve(logarithmic(0.06)), UNDERFITTED),  # without held-out images
    (curve(saturating(0.6), 0.58), ""),  # low, and at its end: a matter of the student, not of time
    (curve(saturating(0.97), 0.965), ""),
    (curve(logarithmic(0.14), 0.91), ""),  # rises, and is high already
    (curve(saturating(0.97), 0.85), NEEDS_IMAGES),
    (curve(logarithmic(0.11), 0.45), NEEDS_IMAGES),  # both: more images first
    (curve(saturating(0.99), 0.97), ""),  # twice the distance, but a gap of 0.02
    (curve(saturating(0.5), 0.45), ""),  # a gap, but small beside the distance that is left
], ids=str)
def test_verdicts(log: Log, expected: str) -> None:
    assert verdict(log) == expected


def test_the_sentence_has_the_figures() -> None:
    fit = judge_fit(curve([0.4] * 50 + [0.5] * 50, 0.49), 1234)
    assert fit == TeacherFit(0.5, 0.49, 1234, UNDERFITTED, fit.sentence if fit else "")
    assert fit.sentence == ("underfitted, train longer: cosine to the teacher 0.500 on training images and 0.490 on "
                            "1,234 held-out images; the first rose by 0.050 in the second half of the training")


def test_a_sentence_without_verdict_has_the_figures_alone() -> None:
    fit = judge_fit(curve(saturating(0.95)))
    assert fit and fit.sentence == "cosine to the teacher 0.950 on training images"


def test_few_held_out_images_prove_no_gap() -> None:
    assert verdict(curve(saturating(0.97), 0.7), images=49) == ""
    assert verdict(curve(saturating(0.97), 0.7), images=50) == NEEDS_IMAGES


def test_few_lines_prove_no_rise() -> None:
    assert verdict(curve([0.1, 0.2, 0.3, 0.4])) == ""
    assert verdict(curve([0.1, 0.2, 0.3, 0.4, 0.5])) == UNDERFITTED


def test_a_loss_of_relations_is_not_judged() -> None:
    fit = judge_fit(curve(logarithmic(0.06), 0.1), 500, follows_embeddings=False)
    assert fit and fit.verdict == "" and fit.training == pytest.approx(0.39, abs=0.02)


def test_only_the_last_stage_counts() -> None:
    early = curve(logarithmic(0.06), stage=0)
    assert verdict(early + curve(saturating(0.95, 20, 2), stage=1)) == ""


def test_lines_without_a_cosine_are_left_out() -> None:
    assert verdict([*curve(logarithmic(0.06)), {"step": 9999, "stage": 0, "loss": 1.0}]) == UNDERFITTED


@pytest.mark.parametrize("log", [[], [{"step": 1, "stage": 0, "loss": 2.0}]], ids=str)
def test_a_log_without_cosines_gives_no_result(log: Log) -> None:
    assert judge_fit(log) is None
