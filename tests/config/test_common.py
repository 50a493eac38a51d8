"""The sections that recipes share: their defaults, and values that do not go together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facekd.config import (
    AugmentationRecipe,
    DataRecipe,
    HeadRecipe,
    MachineRecipe,
    ModelRecipe,
    Recipe,
    TrainingRecipe,
    TrainRecipe,
)


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


@pytest.mark.parametrize(("section", "values", "message"), [
    (TrainingRecipe, {"epochs": 1e18}, "less than or equal to 1000000"),
    (TrainingRecipe, {"epochs": float("inf")}, "finite"),
    (TrainingRecipe, {"learning_rate": float("nan")}, "finite"),
    (TrainingRecipe, {"epochs": 0.2, "warmup_epochs": 99}, "a warm-up of 99 epochs leaves nothing of 0.2"),
    (TrainingRecipe, {"milestones": [float("nan")]}, "finite"),
    (TrainingRecipe, {"milestones": [2]}, "rising fractions of the cycle"),
    (TrainingRecipe, {"milestones": [0.9, 0.1]}, "rising fractions of the cycle"),
    (MachineRecipe, {"device": "meta"}, "match pattern"),
    (MachineRecipe, {"decoded_cache_gib": float("inf")}, "finite"),
    (MachineRecipe, {"threads": 100_000}, "less than or equal to 65536"),
    (AugmentationRecipe, {"padding": 100_000}, "less than or equal to 128"),
    (DataRecipe, {"samples_per_class": 1}, "at least 2 images per identity"),
    (ModelRecipe, {"embedding": 10**11}, "less than or equal to 65536"),
    (HeadRecipe, {"sub_centers": 10**9}, "less than or equal to 100"),
])
def test_a_value_without_sense_is_refused(section: type[Recipe], values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        section.model_validate(values)


def test_the_default_warmup_suits_a_training_of_any_length() -> None:
    assert TrainingRecipe(epochs=0.2).warmup_epochs == 0.5


@pytest.mark.parametrize("seed", [-1, 2**53, 10**24])
def test_a_seed_is_a_number_that_files_hold_exactly(seed: int) -> None:
    with pytest.raises(ValidationError, match="seed"):
        TrainRecipe(dataset="f", out="o", seed=seed)
