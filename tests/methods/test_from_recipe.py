"""Checks of plan and recipe; tests/api/test_distill*.py build the methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.config import TrainingRecipe
from facekd.errors import RecipeError, RouteError
from facekd.methods.from_recipe import check_stage_lengths
from facekd.route.plan import Growth, Plan, PlanStage


def plan(*shares: float, growth: Growth | None = None) -> Plan:
    return Plan(Path("route"), "equal", [PlanStage((0,), "", share) for share in shares], growth)


def test_stages_of_a_step_are_accepted() -> None:
    check_stage_lengths(plan(0.5, 0.5), TrainingRecipe(epochs=1), 2)


@pytest.mark.parametrize("given", [plan(0.9, 0.1), plan(0.9, growth=Growth(0.5, 0.1))], ids=str)
def test_a_stage_of_less_than_a_step_is_refused(given: Plan) -> None:
    with pytest.raises(RouteError, match=r"shortest stage of the plan, 10\.00% of 5 training steps.*epochs higher"):
        check_stage_lengths(given, TrainingRecipe(epochs=1), 5)


def test_a_warmup_longer_than_a_stage_is_refused() -> None:
    with pytest.raises(RecipeError, match="leaves nothing"):
        check_stage_lengths(plan(0.5, 0.5), TrainingRecipe(epochs=2, warmup_epochs=1), 10)
