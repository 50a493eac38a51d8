"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from facekd.config import ScheduleRecipe


def learning_rate(recipe: ScheduleRecipe, step: int, steps: int, epoch_steps: int) -> float:
    """The learning rate of one step of a stage.

    Args:
        recipe: shape, peak rate, warm-up. ``onecycle`` is Smith and Topin's (arXiv 1708.07120) as torch's OneCycleLR:
            by a cosine from 1/25 of the peak up to it over the warm-up, if steps are given for it, or 0.3 of the stage,
            and down to 1/250,000.
        step: 0 to steps-1, counted from the beginning of the stage.
        steps: steps of the stage.
        epoch_steps: steps of an epoch; warm-up is counted in them or in steps, and takes at most a fifth of the stage.
    """
    warmup = min(recipe.warmup_steps or round(recipe.warmup * epoch_steps), steps // 5)
    if recipe.shape == "onecycle":
        return recipe.learning_rate * _onecycle(step, steps, warmup if recipe.warmup_steps else 0.3 * steps)
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


def _onecycle(step: int, steps: int, rise: float) -> float:
    """The share of the peak: up until ``rise`` steps are done, the last of them at the peak, then down."""
    top = max(rise - 1, 0.0)
    begin, end, done = (1 / 25, 1.0, step / top) if step < top else (1.0, 4e-6, (step - top) / max(steps - 1 - top, 1))
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * done))


def drops(recipe: ScheduleRecipe, steps: int) -> list[int]:
    """The steps of a stage at which a step schedule lowers the rate; empty for the other shapes."""
    return [round(m * steps) for m in recipe.milestones] if recipe.shape == "step" else []
