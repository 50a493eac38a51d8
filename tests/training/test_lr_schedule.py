"""Learning rates against formulas and torch's own scheduler, and the steps of a stage."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from facekd.config import TrainingRecipe
from facekd.errors import RecipeError
from facekd.training.lr_schedule import StageSchedule, check_schedule, drop_steps, learning_rate


def rates(total_steps: int, steps_per_epoch: int = 10, **values: Any) -> list[float]:
    recipe = TrainingRecipe(learning_rate=0.4, **values)
    return [learning_rate(recipe, step, total_steps, steps_per_epoch) for step in range(total_steps)]


def test_cosine_falls_from_the_peak_to_almost_nothing() -> None:
    schedule = rates(100, lr_schedule="cosine", warmup_epochs=0)
    half = 0.2 * math.sqrt(0.5)
    assert [schedule[i] for i in (0, 25, 50, 75)] == pytest.approx([0.4, 0.2 + half, 0.2, 0.2 - half])
    assert 0 < schedule[99] < 2e-4


def test_poly_is_a_parabola() -> None:
    schedule = rates(100, lr_schedule="poly", warmup_epochs=0)
    assert [schedule[i] for i in (0, 10, 50, 90)] == pytest.approx([0.4, 0.4 * 0.81, 0.1, 0.004])


def test_constant_stays() -> None:
    assert rates(20, lr_schedule="constant", warmup_epochs=0) == [0.4] * 20


def test_step_drops_at_its_milestones() -> None:
    schedule = rates(100, lr_schedule="step", warmup_epochs=0, milestones=[0.3, 0.75], gamma=0.5)
    assert schedule == pytest.approx([0.4] * 30 + [0.2] * 45 + [0.1] * 25)


@pytest.mark.parametrize("lr_schedule", ["cosine", "poly", "constant", "step"])
def test_warm_up_rises_in_equal_steps_to_the_peak(lr_schedule: str) -> None:
    schedule = rates(100, steps_per_epoch=10, lr_schedule=lr_schedule, warmup_epochs=0.5)
    assert schedule[:5] == pytest.approx([0.08, 0.16, 0.24, 0.32, 0.4])
    assert schedule[5] == pytest.approx(0.4)


def test_warm_up_takes_a_fifth_of_a_short_stage_at_most() -> None:
    schedule = rates(20, steps_per_epoch=10, lr_schedule="constant", warmup_epochs=3)
    assert schedule == pytest.approx([0.1, 0.2, 0.3, *[0.4] * 17])


def onecycle(steps: int, rise: float) -> list[float]:
    """By torch's own scheduler."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.4, steps, pct_start=rise, cycle_momentum=False)
    learning_rates = []
    for _ in range(steps):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(learning_rates) < steps else None
    return learning_rates


@pytest.mark.parametrize("steps", [10, 37, 100])
def test_one_cycle_is_torchs(steps: int) -> None:
    assert rates(steps, lr_schedule="onecycle") == pytest.approx(onecycle(steps, 0.3), rel=1e-6)


def test_one_cycle_rises_over_the_steps_of_warm_up() -> None:
    assert rates(100, lr_schedule="onecycle", warmup_steps=10) == pytest.approx(onecycle(100, 0.1), rel=1e-6)


@pytest.mark.parametrize("lr_schedule", ["cosine", "poly", "constant", "step", "onecycle"])
def test_a_stage_of_one_step_has_the_peak(lr_schedule: str) -> None:
    assert rates(1, lr_schedule=lr_schedule) == [0.4]


@pytest.mark.parametrize("lr_schedule", ["cosine", "poly", "constant", "step"])
def test_warm_up_is_counted_in_steps_or_in_epochs(lr_schedule: str) -> None:
    assert rates(100, lr_schedule=lr_schedule, warmup_steps=7) == rates(100, lr_schedule=lr_schedule, warmup_epochs=0.7)


@pytest.mark.parametrize("values", [
    {"warmup_epochs": 1.0, "warmup_steps": 5}, {"warmup_epochs": 1.0, "lr_schedule": "onecycle"},
])
def test_two_warm_ups_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="warmup"):
        TrainingRecipe(**values)


def test_the_cosine_after_a_warm_up_spans_the_rest_of_the_stage() -> None:
    schedule = rates(104, steps_per_epoch=4, lr_schedule="cosine", warmup_epochs=1)
    assert schedule[4 + 50] == pytest.approx(0.2)


def test_drops_are_steps_of_step_schedules_alone() -> None:
    assert drop_steps(TrainingRecipe(lr_schedule="step", milestones=[0.5, 0.8]), 36) == [18, 29]
    assert drop_steps(TrainingRecipe(lr_schedule="cosine", milestones=[0.5, 0.8]), 36) == []


def test_a_stage_counts_its_rates_from_its_own_beginning() -> None:
    recipe = TrainingRecipe(learning_rate=0.4, warmup_epochs=0)
    stage = StageSchedule(recipe, begin=15, end=25, total_steps=40, steps_per_epoch=10)
    assert [stage.learning_rate(step) for step in range(16, 26)] == rates(10, warmup_epochs=0)


def test_checkpoints_are_written_at_ends_of_epochs_and_stages_and_before_drops() -> None:
    recipe = TrainingRecipe(lr_schedule="step", milestones=[0.0, 0.3])
    stage = StageSchedule(recipe, begin=15, end=25, total_steps=40, steps_per_epoch=10)
    steps = range(16, 26)
    assert [step for step in steps if stage.ends_epoch(step)] == [20]
    assert [step for step in steps if stage.precedes_drop(step)] == [18]
    assert [step for step in steps if stage.is_checkpoint_step(step)] == [18, 20, 25]
    assert {step: stage.event_reason(step) for step in (18, 20, 25)} == {18: "before drop", 20: "epoch", 25: None}
    constant = StageSchedule(TrainingRecipe(lr_schedule="constant"), begin=15, end=19, total_steps=40,
                             steps_per_epoch=10)
    assert [step for step in range(16, 20) if constant.is_checkpoint_step(step)] == [19]


@pytest.mark.parametrize("lr_schedule", ["cosine", "poly", "step", "constant", "onecycle"])
def test_the_stages_of_one_cycle_are_parts_of_one_long_stage(lr_schedule: str) -> None:
    recipe = TrainingRecipe(learning_rate=0.4, lr_schedule=lr_schedule, warmup_steps=3, cycle="run")
    schedules = [StageSchedule(recipe, begin, end, 40, 10) for begin, end in ((0, 15), (15, 25), (25, 40))]
    joined = [schedule.learning_rate(step) for schedule in schedules
              for step in range(schedule.begin + 1, schedule.end + 1)]
    assert joined == rates(40, lr_schedule=lr_schedule, warmup_steps=3)


def test_the_drops_of_one_cycle_are_those_of_the_whole_training() -> None:
    recipe = TrainingRecipe(lr_schedule="step", milestones=[0.3, 0.625, 0.8], cycle="run")
    schedules = [StageSchedule(recipe, begin, end, 40, 10) for begin, end in ((0, 15), (15, 25), (25, 40))]
    drops = [[step for step in range(schedule.begin + 1, schedule.end + 1) if schedule.precedes_drop(step)]
             for schedule in schedules]
    assert drops == [[12], [25], [32]]
    assert [step for step in range(16, 26) if schedules[1].is_checkpoint_step(step)] == [20, 25]


def test_an_interval_ends_at_multiples_of_its_steps_unless_there_is_another_reason() -> None:
    recipe = TrainingRecipe(lr_schedule="step", milestones=[0.3])
    stage = StageSchedule(recipe, begin=15, end=25, total_steps=25, steps_per_epoch=10, event_every_steps=3)
    reasons = {step: stage.event_reason(step) for step in range(16, 26)}
    assert {step: reason for step, reason in reasons.items() if reason} == {
        18: "before drop", 20: "epoch", 21: "interval", 24: "interval", 25: "last",
    }
    assert [step for step in range(16, 26) if stage.is_checkpoint_step(step)] == [18, 20, 21, 24, 25]


@pytest.mark.parametrize(("values", "shortest_stage", "message"), [
    ({"epochs": 1e-9}, 1.0, "1e-09 epochs are 1e-08 of a step, and an epoch has 10; set it to 0.1 or more"),
    ({"epochs": 4, "warmup_epochs": 2}, 0.25, "a warm-up of 20 steps leaves nothing of the 10 steps"),
    ({"epochs": 4, "warmup_steps": 40}, 1.0, "'training.warmup_steps': a warm-up of 40 steps leaves nothing of the 40"),
])
def test_a_training_without_a_step_or_with_warmup_alone_is_refused(
    values: dict[str, Any], shortest_stage: float, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        check_schedule(TrainingRecipe(**values), 10, shortest_stage)


@pytest.mark.parametrize(("values", "shortest_stage"), [
    ({"epochs": 0.06}, 1.0), ({"epochs": 0.3}, 0.1), ({"epochs": 4, "warmup_epochs": 2, "cycle": "run"}, 0.25),
    ({"epochs": 4, "warmup_steps": 9}, 0.25),
])
def test_other_lengths_are_accepted(values: dict[str, Any], shortest_stage: float) -> None:
    check_schedule(TrainingRecipe(**values), 10, shortest_stage)
