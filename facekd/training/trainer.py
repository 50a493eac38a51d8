"""The training loop: stages of (epochs, learning-rate cycle), whatever is trained in them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from facekd import distributed as ranks
from facekd import run as runs
from facekd.config import MachineRecipe, ScheduleRecipe
from facekd.data.loading.loader import Loader
from facekd.training import checkpoint
from facekd.training.checkpoint import Position
from facekd.training.data_parallel import share_statistics
from facekd.training.ema import averaged
from facekd.training.lr_schedule import drops, learning_rate
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.metric_logger import Log
from facekd.training.nan_guard import Done, Guard
from facekd.training.sharded_state import own_optimizer, whole_optimizer, whole_state
from facekd.training.sync_batchnorm import share_norms
from facekd.training.train_step import Stepper
from facekd.utils.progress import Advance, progress

LOG_STEPS = 20
"""Steps between two lines of ``log.jsonl``."""

LEAST_SCALE = 2**-10
"""A float16 training whose gradients are scaled down so far, and still overflow, has none that are finite."""


@dataclass(frozen=True)
class Moment:
    """What a recorder is told after a step worth recording.

    Attributes:
        step: steps done in all.
        epoch: epochs done in all.
        learning_rate: of the step just done.
        reason: ``"last"``, ``"before drop"`` or ``"epoch"``.
        metrics: the newest means that were logged.
    """

    step: int
    epoch: float
    learning_rate: float
    reason: str
    metrics: dict[str, float]


class Trainer:
    """One training: a method, its stages, the data, and the run that keeps its files.

    Args:
        run: where log and checkpoints go; a checkpoint found there is continued.
        method: what is trained.
        stages: gives stage 0, 1, ... when its turn comes, the last one ending with ``schedule.epochs``; weights are
            carried over, optimiser and learning rate begin anew (SGDR restarts, as in RCO).
        loader: the batches, one an optimiser step; it is computed in ``schedule.accumulate`` parts.
        schedule: epochs in all, the optimiser, and the learning rate of every stage.
        machine: where to compute.
        on_moment: called at every epoch's end, at the last step before every drop, and at the very end.

    Attributes:
        average: the mean of the student's weights where ``schedule.ema`` asks for one.
    """

    average: AveragedModel | None = None

    def __init__(
        self, run: runs.Run, method: Method, stages: Callable[[int], Stage], loader: Loader, schedule: ScheduleRecipe,
        machine: MachineRecipe, on_moment: Callable[[Moment], None] = lambda moment: None,
    ) -> None:
        self.run, self.method, self.stages, self.loader, self.schedule = run, method, stages, loader, schedule
        self.machine, self.on_moment = Machine(machine), on_moment
        self.scaler, self.guard = self.machine.scaler(), Guard(run, loader)
        self.checkpoint_seconds, self.keep = 60 * machine.checkpoint_minutes, machine.checkpoints
        self.steps = max(1, round(schedule.epochs * loader.steps))

    def fit(self) -> None:
        """Train from the last checkpoint, or from the beginning, to the end.

        Raises:
            FacekdError: the loss is no longer finite; the last checkpoint is kept, and the batch, see `Guard`.
        """
        self.method.to(self.machine.device)
        for network in self.method.networks:
            self.machine.prepare(network)
            if self.schedule.shared_norm:
                share_norms(network, self.machine.device)
        self.average = averaged(self.method.student, self.schedule.ema)
        position, optimizer_state = Position(0, 0, 0), None
        if found := checkpoint.restore(self.run.checkpoints, self.method):
            position, states = found
            optimizer_state = states["optimizer"]
            self.scaler.load_state_dict(states.get("scaler", {}))
            if self.average is not None:
                self.average.load_state_dict(states["average"])
        batch = self.loader.batch
        with (
            Log(self.run, position.step) as log,
            progress(self.run.path.name, self.steps * batch, "img", position.step * batch) as advance,
        ):
            while True:
                end = self._stage(position, optimizer_state, log, advance)
                if end >= self.steps:
                    return
                position, optimizer_state = Position(position.stage + 1, 0, end), None

    def _stage(self, begin: Position, optimizer_state: dict[str, Any] | None, log: Log, advance: Advance) -> int:
        """Train one stage, or what a resumed run has left of it; gives the step it ended with."""
        stage, first = self.stages(begin.stage), begin.step - begin.stage_step
        end = min(self.steps, max(first + 1, round(stage.until * self.loader.steps)))
        self.method.begin(stage)
        self.method.train()
        stepper = Stepper(self.method, self.schedule, self.machine, self.scaler, self.average)
        if optimizer_state is not None:
            stepper.optimizer.load_state_dict(own_optimizer(self.method, stepper.optimizer, optimizer_state))
        before_drop = {first + drop for drop in drops(self.schedule, end - first) if drop > 0}
        saved = time.monotonic()
        for step, batch in enumerate(self.loader.run(begin.step, end - begin.step), begin.step + 1):
            rate = learning_rate(self.schedule, step - 1 - first, end - first, self.loader.steps)
            figures, norms = stepper(batch, rate, (step - 1) / self.steps)
            log.add(figures)
            self.guard.add(Done(step, begin.stage, rate, {**figures, **norms}))
            epoch, epoch_ends = step / self.loader.steps, step % self.loader.steps == 0
            logged = step % LOG_STEPS == 0
            # The clock adds no lines to the log, and of several processes one clock counts.
            due = logged and ranks.told(partial(_longer_ago, saved, self.checkpoint_seconds))
            keep = step == end or epoch_ends or due or step in before_drop
            if keep or logged:
                spoilt = {"every gradient": math.inf} if self.scaler.get_scale() < LEAST_SCALE else {}
                self.guard.check({**log.write(step, epoch, begin.stage, rate), **spoilt})
            advance(self.loader.batch, f"loss {log.latest.get('loss', 0):.3f}")
            if not keep:
                continue
            self.guard.check({"weights": _largest(self.method)})
            share_statistics(self.method)
            if self.average is not None:
                share_statistics(self.average)
            reason = "last" if step == self.steps else "before drop" if step in before_drop else "epoch"
            if reason != "epoch" or epoch_ends:
                self.on_moment(Moment(step, epoch, rate, reason, dict(log.latest)))
            self._save(Position(begin.stage, step - first, step), stepper.optimizer)
            saved = time.monotonic()
        return end

    def _save(self, position: Position, optimizer: torch.optim.Optimizer) -> None:
        average = self.average.state_dict() if self.average is not None else {}
        states = whole_state(self.method), whole_optimizer(self.method, optimizer)
        if ranks.leads():
            checkpoint.save(self.run.checkpoints, position, states[0], self.keep, optimizer=states[1],
                            scaler=self.scaler.state_dict(), average=average)


def _largest(method: nn.Module) -> float:
    """The largest weight; a finite loss may be followed by a step that is not.

    Of several processes the mean of their largest, which is not finite where one is not.
    """
    return float(ranks.mean(torch.stack([w.detach().abs().max().float() for w in method.parameters() if w.numel()])
                            .max()))


def _longer_ago(moment: float, seconds: float) -> bool:
    return time.monotonic() - moment > seconds
