from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from facekd.config import ScheduleRecipe
from facekd.training.lr_schedule import drops, learning_rate


def rates(steps: int, epoch_steps: int = 10, **values: Any) -> list[float]:
    recipe = ScheduleRecipe(learning_rate=0.4, **values)
    return [learning_rate(recipe, step, steps, epoch_steps) for step in range(steps)]


def test_cosine_falls_from_the_peak_to_almost_nothing() -> None:
    found = rates(100, shape="cosine", warmup=0)
    half = 0.2 * math.sqrt(0.5)
    assert [found[i] for i in (0, 25, 50, 75)] == pytest.approx([0.4, 0.2 + half, 0.2, 0.2 - half])
    assert 0 < found[99] < 2e-4


def test_poly_is_a_parabola() -> None:
    found = rates(100, shape="poly", warmup=0)
    assert [found[i] for i in (0, 10, 50, 90)] == pytest.approx([0.4, 0.4 * 0.81, 0.1, 0.004])


def test_constant_stays() -> None:
    assert rates(20, shape="constant", warmup=0) == [0.4] * 20


def test_step_drops_at_its_milestones() -> None:
    found = rates(100, shape="step", warmup=0, milestones=[0.3, 0.75], gamma=0.5)
    assert found == pytest.approx([0.4] * 30 + [0.2] * 45 + [0.1] * 25)


@pytest.mark.parametrize("shape", ["cosine", "poly", "constant", "step"])
def test_warm_up_rises_in_equal_steps_to_the_peak(shape: str) -> None:
    found = rates(100, epoch_steps=10, shape=shape, warmup=0.5)
    assert found[:5] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert found[5] == pytest.approx(0.4)


def test_warm_up_takes_a_fifth_of_a_short_stage_at_most() -> None:
    found = rates(20, epoch_steps=10, shape="constant", warmup=3)
    assert found == pytest.approx([0.1, 0.2, 0.3, *[0.4] * 17])


def onecycle(steps: int, rise: float) -> list[float]:
    """By torch's own scheduler."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, steps, pct_start=rise, cycle_momentum=False)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(found) < steps else None
    return found


@pytest.mark.parametrize("steps", [10, 37, 100])
def test_one_cycle_is_torchs(steps: int) -> None:
    assert rates(steps, shape="onecycle") == pytest.approx(onecycle(steps, 0.3), rel=1e-6)


def test_one_cycle_rises_over_the_steps_of_warm_up() -> None:
    assert rates(100, shape="onecycle", warmup_steps=10) == pytest.approx(onecycle(100, 0.1), rel=1e-6)


@pytest.mark.parametrize("shape", ["cosine", "poly", "constant", "step", "onecycle"])
def test_a_stage_of_one_step_has_the_peak(shape: str) -> None:
    assert rates(1, shape=shape) == [0.4]


@pytest.mark.parametrize("shape", ["cosine", "poly", "constant", "step"])
def test_warm_up_is_counted_in_steps_or_in_epochs(shape: str) -> None:
    assert rates(100, shape=shape, warmup_steps=7) == rates(100, shape=shape, warmup=0.7)


@pytest.mark.parametrize("values", [{"warmup": 1.0, "warmup_steps": 5}, {"warmup": 1.0, "shape": "onecycle"}])
def test_two_warm_ups_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="warmup"):
        ScheduleRecipe(**values)


def test_the_cosine_after_a_warm_up_spans_the_rest_of_the_stage() -> None:
    found = rates(104, epoch_steps=4, shape="cosine", warmup=1)
    assert found[4 + 50] == pytest.approx(0.2)


def test_drops_are_steps_of_step_schedules_alone() -> None:
    assert drops(ScheduleRecipe(shape="step", milestones=[0.5, 0.8]), 36) == [18, 29]
    assert drops(ScheduleRecipe(shape="cosine", milestones=[0.5, 0.8]), 36) == []
