"""The training loop: stages of (epochs, learning-rate cycle), whatever is trained in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facekd import runs
from facekd.config import MachineRecipe, ScheduleRecipe
from facekd.data.loader import Batch, Loader
from facekd.errors import FacekdError
from facekd.progress import Advance, progress
from facekd.training import checkpoint
from facekd.training.checkpoint import Position
from facekd.training.log import Log
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.schedule import drops, learning_rate

LOG_STEPS = 20
"""Steps between two lines of ``log.jsonl``."""


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
        loader: the batches.
        schedule: epochs in all, and the learning rate of every stage.
        machine: where to compute.
        on_moment: called at every epoch's end, at the last step before every drop, and at the very end.
    """

    def __init__(
        self, run: runs.Run, method: Method, stages: Callable[[int], Stage], loader: Loader, schedule: ScheduleRecipe,
        machine: MachineRecipe, on_moment: Callable[[Moment], None] = lambda moment: None,
    ) -> None:
        self.run, self.method, self.stages, self.loader, self.schedule = run, method, stages, loader, schedule
        self.machine, self.on_moment = Machine(machine), on_moment
        self.checkpoint_seconds = 60 * machine.checkpoint_minutes
        self.steps = max(1, round(schedule.epochs * loader.steps))

    def fit(self) -> None:
        """Train from the last checkpoint, or from the beginning, to the end.

        Raises:
            FacekdError: the loss is no longer finite; the last checkpoint is kept.
        """
        self.method.to(self.machine.device)
        for network in self.method.networks:
            self.machine.prepare(network)
        position, optimizer_state = Position(0, 0, 0), None
        if self.run.checkpoint.exists():
            position, optimizer_state = checkpoint.restore(self.run.checkpoint, self.method)
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

    def _stage(self, begin: Position, optimizer_state: dict[str, object] | None, log: Log, advance: Advance) -> int:
        """Train one stage, or what a resumed run has left of it; gives the step it ended with."""
        stage, first = self.stages(begin.stage), begin.step - begin.stage_step
        end = min(self.steps, max(first + 1, round(stage.until * self.loader.steps)))
        self.method.begin(stage)
        self.method.train()
        optimizer = self._optimizer()
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        before_drop = {first + drop for drop in drops(self.schedule, end - first) if drop > 0}
        saved = time.monotonic()
        for step, batch in enumerate(self.loader.run(begin.step, end - begin.step), begin.step + 1):
            rate = learning_rate(self.schedule, step - 1 - first, end - first, self.loader.steps)
            log.add(self._step(batch, optimizer, rate, (step - 1) / self.steps))
            epoch, epoch_ends = step / self.loader.steps, step % self.loader.steps == 0
            logged = step % LOG_STEPS == 0
            due = logged and time.monotonic() - saved > self.checkpoint_seconds  # the clock adds no lines to the log
            keep = step == end or epoch_ends or due or step in before_drop
            if keep or logged:
                self._check(log.write(step, epoch, begin.stage, rate), step)
            advance(self.loader.batch, f"loss {log.latest.get('loss', 0):.3f}")
            if not keep:
                continue
            self._check({"weights": _largest(self.method)}, step)
            reason = "last" if step == self.steps else "before drop" if step in before_drop else "epoch"
            if reason != "epoch" or epoch_ends:
                self.on_moment(Moment(step, epoch, rate, reason, dict(log.latest)))
            checkpoint.save(self.run.checkpoint, Position(begin.stage, step - first, step), self.method, optimizer)
            saved = time.monotonic()
        return end

    def _step(self, batch: Batch, optimizer: torch.optim.Optimizer, rate: float, done: float) -> dict[str, Tensor]:
        """The optimiser steps of one batch; gives the terms of all turns, and as ``loss`` the total of the last."""
        for group in optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        turns, figures = self.method.turns(batch.to(self.machine.device), done), dict[str, Tensor]()
        while True:
            with self.machine.autocast():
                losses = next(turns, None)
            if losses is None:
                return figures
            total = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            for part in self.method.children():  # one by one: young class centres' gradients would silence a network's
                if weights := list(part.parameters()):
                    nn.utils.clip_grad_norm_(weights, self.schedule.clip)
            optimizer.step()
            figures |= {"loss": total.detach(), **{name: term.detach() for name, term in losses.items()}}

    def _optimizer(self) -> torch.optim.Optimizer:
        """SGD; weight decay spares biases, norms and PReLU slopes, which have nothing to gain from shrinking."""
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, weight in self.method.named_parameters():
            if weight.requires_grad:
                pace = self.method.pace.get(name.partition(".")[0], 1.0)
                groups.setdefault((pace, weight.ndim > 1), []).append(weight)
        schedule = self.schedule
        decay = {True: schedule.weight_decay, False: schedule.weight_decay if schedule.decay_all else 0.0}
        settings = [{"params": weights, "pace": pace, "weight_decay": decay[shrinks]}
                    for (pace, shrinks), weights in groups.items()]
        return torch.optim.SGD(settings, lr=0.0, momentum=schedule.momentum)

    def _check(self, figures: dict[str, float], step: int) -> None:
        bad = [name for name, value in figures.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise FacekdError(
                f"{self.run.path}: {', '.join(bad)} is no longer finite at step {step}. The checkpoint before is kept; "
                "try a lower schedule.learning_rate, a longer schedule.warmup or machine.precision=float32 "
                "in a new run folder"
            )


def _largest(method: nn.Module) -> float:
    """The largest weight; a finite loss may be followed by a step that is not."""
    return float(torch.stack([w.detach().abs().max().float() for w in method.parameters() if w.numel()]).max())
