"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facekd.config import TrainingRecipe
from facekd.errors import RecipeError


def learning_rate(recipe: TrainingRecipe, step: int, total_steps: int, steps_per_epoch: int) -> float:
    """Return the learning rate of one step of a cycle, which is a stage or the whole training.

    Args:
        recipe: the schedule, the peak learning rate and the warm-up. ``onecycle`` is the schedule of Smith and Topin
            (arXiv 1708.07120) as in torch's OneCycleLR: a cosine from 1/25 of the peak up to the peak over the warm-up
            steps, or over 0.3 of the cycle if none are given, and a cosine down to 1/250,000 of the peak.
        step: the step within the cycle, from 0 to total_steps - 1.
        total_steps: number of steps in the cycle.
        steps_per_epoch: number of steps in an epoch; the warm-up is given in epochs or in steps, and takes at most a
            fifth of the cycle.
    """
    warmup = min(recipe.warmup_steps or round(recipe.warmup_epochs * steps_per_epoch), total_steps // 5)
    if recipe.lr_schedule == "onecycle":
        rise = warmup if recipe.warmup_steps else 0.3 * total_steps
        return recipe.learning_rate * _onecycle(step, total_steps, rise)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(total_steps - warmup, 1)
    if recipe.lr_schedule == "cosine":
        return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    if recipe.lr_schedule == "poly":
        return recipe.learning_rate * (1 - progress) ** 2
    if recipe.lr_schedule == "step":
        drops = sum(step >= drop for drop in drop_steps(recipe, total_steps))
        return recipe.learning_rate * recipe.gamma ** drops
    return recipe.learning_rate


def check_schedule(recipe: TrainingRecipe, steps_per_epoch: int, shortest_stage: float = 1.0) -> None:
    """Check that a training has a step, and that its warm-up is shorter than a cycle of the learning rate.

    The default warm-up suits every training, because it takes at most a fifth of the cycle.

    Args:
        recipe: the schedule and its warm-up.
        steps_per_epoch: number of steps in an epoch.
        shortest_stage: share of the training that its shortest stage takes.

    Raises:
        RecipeError: the training or its warm-up has another length.
    """
    total_steps = recipe.epochs * steps_per_epoch
    if round(total_steps) < 1:
        raise RecipeError([f"'training.epochs': {recipe.epochs:g} epochs are {total_steps:.2g} of a step, and an epoch "
                           f"has {steps_per_epoch:,}; set it to {1 / steps_per_epoch:.2g} or more"], "the recipe")
    cycle_steps = total_steps if recipe.cycle == "run" else shortest_stage * total_steps
    default = type(recipe).model_fields["warmup_epochs"].default
    warmup = recipe.warmup_steps or (
        recipe.warmup_epochs * steps_per_epoch if recipe.warmup_epochs != default else 0.0)
    if warmup >= cycle_steps:
        key = "warmup_steps" if recipe.warmup_steps else "warmup_epochs"
        raise RecipeError([f"'training.{key}': a warm-up of {warmup:g} steps leaves nothing of the {cycle_steps:g} "
                           "steps of the shortest stage; set it lower, or train for more epochs"], "the recipe")


def _onecycle(step: int, total_steps: int, rise: float) -> float:
    """Return the share of the peak: up during the first ``rise`` steps, the last of them at the peak, then down."""
    peak_step = max(rise - 1, 0.0)
    if step < peak_step:
        first, last = 1 / 25, 1.0
        progress = step / peak_step
    else:
        first, last = 1.0, 4e-6
        progress = (step - peak_step) / max(total_steps - 1 - peak_step, 1)
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


def drop_steps(recipe: TrainingRecipe, total_steps: int) -> list[int]:
    """Return the steps of a cycle at which a ``step`` schedule lowers the rate; empty for other schedules."""
    return [round(share * total_steps) for share in recipe.milestones] if recipe.lr_schedule == "step" else []


@dataclass(frozen=True)
class StageSchedule:
    """The steps of one stage; steps are counted over the whole training, from 1.

    Attributes:
        recipe: the learning-rate schedule of a cycle, and whether a cycle is a stage or the whole training.
        begin: steps that are done before the stage.
        end: the last step of the stage.
        total_steps: the last step of the training.
        steps_per_epoch: number of steps in an epoch.
        event_every_steps: number of steps between two events with the reason ``"interval"``; 0: there are none.
    """

    recipe: TrainingRecipe
    begin: int
    end: int
    total_steps: int
    steps_per_epoch: int
    event_every_steps: int = 0

    @property
    def cycle(self) -> tuple[int, int]:
        """The steps that are done before the learning-rate cycle of the stage, and the last step of the cycle."""
        return (0, self.total_steps) if self.recipe.cycle == "run" else (self.begin, self.end)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        begin, end = self.cycle
        return learning_rate(self.recipe, step - 1 - begin, end - begin, self.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Return whether a step is the last one of an epoch."""
        return step % self.steps_per_epoch == 0

    def precedes_drop(self, step: int) -> bool:
        """Return whether a step is the last one before the learning rate drops."""
        begin, end = self.cycle
        return any(drop > 0 and step == begin + drop for drop in drop_steps(self.recipe, end - begin))

    def ends_interval(self, step: int) -> bool:
        """Return whether a step is a multiple of ``event_every_steps``."""
        return self.event_every_steps > 0 and step % self.event_every_steps == 0

    def event_reason(self, step: int) -> str | None:
        """Return why ``on_checkpoint`` is called after a step, or None if it is not.

        Returns:
            the first that applies of ``"last"``, ``"before drop"``, ``"epoch"`` and ``"interval"``.
        """
        if step == self.total_steps:
            return "last"
        if self.precedes_drop(step):
            return "before drop"
        if self.ends_epoch(step):
            return "epoch"
        return "interval" if self.ends_interval(step) else None

    def is_checkpoint_step(self, step: int) -> bool:
        """Return whether a checkpoint is written after a step, whatever the time since the last one."""
        return step == self.end or self.event_reason(step) is not None
