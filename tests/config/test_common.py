"""The sections that recipes share: their defaults, and values that do not go together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facekd.config import AugmentationRecipe, HeadRecipe, MachineRecipe, TrainingRecipe


def test_only_softmax_is_a_closed_set() -> None:
    heads = {name: HeadRecipe(name=name).closed_set for name in ("arcface", "cosface", "softmax")}
    assert heads == {"arcface": False, "cosface": False, "softmax": True}


@pytest.mark.parametrize(("values", "message"), [
    ({"warmup_steps": 10, "warmup_epochs": 1}, "warmup_steps and warmup_epochs both set the length"),
    ({"lr_schedule": "onecycle", "warmup_epochs": 1}, "onecycle does not use warmup_epochs"),
])
def test_two_lengths_of_the_warmup_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingRecipe.model_validate(values)


@pytest.mark.parametrize("values", [{"warmup_steps": 10}, {"lr_schedule": "onecycle", "warmup_steps": 10}])
def test_a_warmup_in_steps_alone_is_accepted(values: dict[str, object]) -> None:
    assert TrainingRecipe.model_validate(values).warmup_steps == 10


def test_the_cycle_is_a_stage_or_the_run() -> None:
    assert TrainingRecipe().cycle == "stage"
    assert TrainingRecipe.model_validate({"cycle": "run"}).cycle == "run"
    with pytest.raises(ValidationError, match="'stage' or 'run'"):
        TrainingRecipe.model_validate({"cycle": "plan"})


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        MachineRecipe.model_validate({"checkpointing": True})


def test_a_section_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        AugmentationRecipe().padding = 2  # type: ignore[misc]
