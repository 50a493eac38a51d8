"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from facekd.config import ScheduleRecipe


def learning_rate(recipe: ScheduleRecipe, step: int, steps: int, epoch_steps: int) -> float:
    """The learning rate of one step of a stage.

    Args:
        recipe: shape, peak rate, warm-up.
        step: 0 to steps-1, counted from the beginning of the stage.
        steps: steps of the stage.
        epoch_steps: steps of an epoch; warm-up is counted in epochs, and takes at most a fifth of the stage.
    """
    warmup = min(round(recipe.warmup * epoch_steps), steps // 5)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(steps - warmup, 1)
    if recipe.shape == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.shape == "poly":
        return recipe.learning_rate * (1 - done) ** 2
    if recipe.shape == "step":
        return recipe.learning_rate * recipe.gamma ** sum(step >= drop for drop in drops(recipe, steps))
    return recipe.learning_rate


def drops(recipe: ScheduleRecipe, steps: int) -> list[int]:
    """The steps of a stage at which a step schedule lowers the rate; empty for the other shapes."""
    return [round(m * steps) for m in recipe.milestones] if recipe.shape == "step" else []
