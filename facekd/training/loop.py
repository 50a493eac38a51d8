"""The training loop: stages of (epochs, learning-rate cycle), whatever is trained in them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
        stages: one after the other; weights are carried over, optimiser and schedule begin anew (RCO, A.4).
        loader: the batches.
        schedule: of every stage.
        machine: where to compute.
        on_moment: called at every epoch's end, at the last step before every drop, and at the very end.
    """

    def __init__(
        self, run: runs.Run, method: Method, stages: Sequence[Stage], loader: Loader, schedule: ScheduleRecipe,
        machine: MachineRecipe, on_moment: Callable[[Moment], None] = lambda moment: None,
    ) -> None:
        self.run, self.method, self.stages, self.loader, self.schedule = run, method, stages, loader, schedule
        self.machine, self.on_moment = Machine(machine), on_moment
        self.checkpoint_seconds = 60 * machine.checkpoint_minutes
        self.lengths = [max(1, round(stage.epochs * loader.steps)) for stage in stages]

    def fit(self) -> None:
        """Train from the last checkpoint, or from the beginning, to the end.

        Raises:
            FacekdError: the loss is no longer finite; the last checkpoint is kept.
        """
        self.method.to(self.machine.device)
        self.machine.prepare(self.method.student)
        position, optimizer_state = Position(0, 0, 0), None
        if self.run.checkpoint.exists():
            position, optimizer_state = checkpoint.restore(self.run.checkpoint, self.method)
        batch = self.loader.batch
        with (
            Log(self.run, position.step) as log,
            progress(self.run.path.name, sum(self.lengths) * batch, "img", position.step * batch) as advance,
        ):
            for number in range(position.stage, len(self.stages)):
                self._stage(position, optimizer_state, log, advance)
                step = position.step + self.lengths[number] - position.stage_step
                position, optimizer_state = Position(number + 1, 0, step), None

    def _stage(self, begin: Position, optimizer_state: dict[str, object] | None, log: Log, advance: Advance) -> None:
        stage, steps = self.stages[begin.stage], self.lengths[begin.stage]
        self.method.begin(stage)
        self.method.train()
        optimizer = self._optimizer()
        if optimizer_state is not None:
            optimizer.load_state_dict(optimizer_state)
        before_drop = {drop for drop in drops(self.schedule, steps) if drop > 0}
        saved = time.monotonic()
        for stage_step, batch in enumerate(self._batches(begin.step, steps - begin.stage_step), begin.stage_step):
            rate = learning_rate(self.schedule, stage_step, steps, self.loader.steps)
            log.add(self._step(batch, optimizer, rate))
            position = Position(begin.stage, stage_step + 1, begin.step + stage_step + 1 - begin.stage_step)
            stage_ends, epoch_ends = position.stage_step == steps, position.step % self.loader.steps == 0
            last = stage_ends and begin.stage == len(self.stages) - 1
            logged = position.step % LOG_STEPS == 0
            due = logged and time.monotonic() - saved > self.checkpoint_seconds  # the clock adds no lines to the log
            keep = last or stage_ends or epoch_ends or due or position.stage_step in before_drop
            epoch = position.step / self.loader.steps
            if keep or logged:
                self._check(log.write(position.step, epoch, begin.stage, rate), position.step)
            advance(self.loader.batch, f"loss {log.latest.get('loss', 0):.3f}")
            if not keep:
                continue
            self._check({"weights": _largest(self.method)}, position.step)
            reason = "last" if last else "before drop" if position.stage_step in before_drop else "epoch"
            if reason != "epoch" or epoch_ends:
                self.on_moment(Moment(position.step, epoch, rate, reason, dict(log.latest)))
            checkpoint.save(self.run.checkpoint, position, self.method, optimizer)
            saved = time.monotonic()

    def _batches(self, step: int, count: int) -> Iterator[Batch]:
        """``count`` batches from overall ``step`` on; the data's epochs run on across stages."""
        while count > 0:
            epoch, first = divmod(step, self.loader.steps)
            for batch in self.loader.epoch(epoch, first):
                yield batch
                step, count = step + 1, count - 1
                if count == 0:
                    return

    def _step(self, batch: Batch, optimizer: torch.optim.Optimizer, rate: float) -> dict[str, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = rate
        with self.machine.autocast():
            losses = self.method.losses(batch.to(self.machine.device))
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        for part in self.method.children():  # one by one: young class centres' gradients would silence the network's
            nn.utils.clip_grad_norm_(part.parameters(), self.schedule.clip)
        optimizer.step()
        return {"loss": total.detach(), **{name: term.detach() for name, term in losses.items()}}

    def _optimizer(self) -> torch.optim.Optimizer:
        """SGD; weight decay spares biases, norms and PReLU slopes, which have nothing to gain from shrinking."""
        trained = [p for p in self.method.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.schedule.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.SGD(groups, lr=0.0, momentum=self.schedule.momentum)

    def _check(self, figures: dict[str, float], step: int) -> None:
        bad = [name for name, value in figures.items() if value != value or abs(value) == float("inf")]
        if bad:
            raise FacekdError(
                f"{self.run.path}: {', '.join(bad)} is no longer finite at step {step}. The checkpoint before is kept; "
                "try a lower schedule.learning_rate, a longer schedule.warmup or machine.precision=float32 "
                "in a new run folder"
            )


def _largest(method: nn.Module) -> float:
    """The largest weight or buffer; a finite loss may be followed by a step that is not."""
    return float(torch.stack([v.detach().abs().max().float() for v in method.state_dict().values() if v.numel()]).max())
