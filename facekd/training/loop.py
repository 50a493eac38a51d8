"""The training loop: stages of (epochs, learning-rate cycle), whatever is trained in them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from facekd import runs
from facekd.config import MachineRecipe, ScheduleRecipe
from facekd.data.loader import Batch, Loader
from facekd.progress import Advance, progress
from facekd.training import checkpoint
from facekd.training.checkpoint import Position
from facekd.training.ema import averaged
from facekd.training.guard import Done, Guard
from facekd.training.log import Log
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.optimizers import create_optimizer
from facekd.training.schedule import drops, learning_rate

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
        self.checkpoint_seconds = 60 * machine.checkpoint_minutes
        self.steps = max(1, round(schedule.epochs * loader.steps))

    def fit(self) -> None:
        """Train from the last checkpoint, or from the beginning, to the end.

        Raises:
            FacekdError: the loss is no longer finite; the last checkpoint is kept, and the batch, see `Guard`.
        """
        self.method.to(self.machine.device)
        for network in self.method.networks:
            self.machine.prepare(network)
        self.average = averaged(self.method.student, self.schedule.ema)
        position, optimizer_state = Position(0, 0, 0), None
        if self.run.checkpoint.exists():
            position, states = checkpoint.restore(self.run.checkpoint, self.method)
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
        optimizer = create_optimizer(self.method, self.schedule, self.machine.device)
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        before_drop = {first + drop for drop in drops(self.schedule, end - first) if drop > 0}
        saved = time.monotonic()
        for step, batch in enumerate(self.loader.run(begin.step, end - begin.step), begin.step + 1):
            rate = learning_rate(self.schedule, step - 1 - first, end - first, self.loader.steps)
            figures, norms = self._step(batch, optimizer, rate, (step - 1) / self.steps)
            log.add(figures)
            self.guard.add(Done(step, begin.stage, rate, {**figures, **norms}))
            epoch, epoch_ends = step / self.loader.steps, step % self.loader.steps == 0
            logged = step % LOG_STEPS == 0
            due = logged and time.monotonic() - saved > self.checkpoint_seconds  # the clock adds no lines to the log
            keep = step == end or epoch_ends or due or step in before_drop
            if keep or logged:
                spoilt = {"every gradient": math.inf} if self.scaler.get_scale() < LEAST_SCALE else {}
                self.guard.check({**log.write(step, epoch, begin.stage, rate), **spoilt})
            advance(self.loader.batch, f"loss {log.latest.get('loss', 0):.3f}")
            if not keep:
                continue
            self.guard.check({"weights": _largest(self.method)})
            reason = "last" if step == self.steps else "before drop" if step in before_drop else "epoch"
            if reason != "epoch" or epoch_ends:
                self.on_moment(Moment(step, epoch, rate, reason, dict(log.latest)))
            self._save(Position(begin.stage, step - first, step), optimizer)
            saved = time.monotonic()
        return end

    def _save(self, position: Position, optimizer: torch.optim.Optimizer) -> None:
        average = self.average.state_dict() if self.average is not None else {}
        checkpoint.save(self.run.checkpoint, position, self.method, optimizer=optimizer.state_dict(),
                        scaler=self.scaler.state_dict(), average=average)

    def _step(self, batch: Batch, optimizer: torch.optim.Optimizer, rate: float, done: float
              ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The optimiser steps of one batch.

        Returns:
            the terms of all turns, and as ``loss`` the total of the last; the norms of the gradients, where float16
            does not make it usual that some are not finite.
        """
        for group in optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        parts = batch.to(self.machine.device).parts(self.schedule.accumulate)
        turns, figures, norms = [self.method.turns(part, done) for part in parts], dict[str, Tensor](), {}
        while terms := self._backward(turns, optimizer):
            self.scaler.unscale_(optimizer)
            for name, part in self.method.named_children():  # young class centres' gradients would silence a network's
                if weights := [weight for weight in part.parameters() if weight.grad is not None]:
                    norms[f"gradient.{name}"] = nn.utils.clip_grad_norm_(weights, self.schedule.clip)
            self.scaler.step(optimizer)
            self.scaler.update()
            figures |= terms
        if self.average is not None:
            self.average.update_parameters(self.method.student)
        return figures, {} if self.scaler.is_enabled() else norms

    def _backward(self, turns: Sequence[Iterator[Mapping[str, Tensor]]], optimizer: torch.optim.Optimizer
                  ) -> dict[str, Tensor]:
        """The mean gradient of the parts' next turn; gives the means of its terms, none where there is no next turn."""
        optimizer.zero_grad(set_to_none=True)
        found: list[dict[str, Tensor]] = []
        for turn in turns:
            with self.machine.autocast():
                losses = next(turn, None)
            if losses is not None:
                total = torch.stack(list(losses.values())).sum()
                self.scaler.scale(total / len(turns)).backward()  # type: ignore[no-untyped-call]
                found.append({"loss": total.detach(), **{name: term.detach() for name, term in losses.items()}})
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in (found[0] if found else ())}


def _largest(method: nn.Module) -> float:
    """The largest weight; a finite loss may be followed by a step that is not."""
    return float(torch.stack([w.detach().abs().max().float() for w in method.parameters() if w.numel()]).max())
