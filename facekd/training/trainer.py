"""The training loop over stages, for every method."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from facekd.config import TrainingRecipe
from facekd.data.loading.loader import Loader
from facekd.distributed import any_process, check_initialized, get_world_size, is_main_process
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.checkpoint import Position
from facekd.training.ema import build_ema
from facekd.training.lr_schedule import StageSchedule
from facekd.training.machine import Machine
from facekd.training.method import CheckpointEvent, Method, Stage
from facekd.training.metric_logger import MetricLogger
from facekd.training.nan_guard import NanGuard, StepRecord
from facekd.training.sharded_state import gather_optimizer_state, gather_state, shard_optimizer_state
from facekd.training.sync_batchnorm import average_batchnorm_statistics, convert_sync_batchnorm
from facekd.training.train_step import TrainStep
from facekd.utils.progress import Advance, progress_bar
from facekd.utils.signals import StopRequest, raise_signal

LOG_EVERY_STEPS = 20
"""Steps between two lines of ``log.jsonl``."""

MIN_LOSS_SCALE = 2**-10
"""If the float16 loss scale falls below this value, no step can produce finite gradients, and training aborts."""


class Trainer:
    """Trains a method in stages, and continues a run from its newest checkpoint.

    Args:
        run: the run folder of the log and the checkpoints.
        method: the method to train.
        stages: returns the stage of a number 0, 1, ...; it is called when the stage begins, until ``training.epochs``
            are done. Weights are carried over to the next stage. The optimizer and the learning rate begin anew (SGDR
            restarts, as in RCO), or go on where ``training.cycle`` is ``run``.
        loader: the batches, one for each optimizer step.
        recipe: the number of epochs, the optimizer, and the learning rate of every stage or of the whole training.
        machine: the device and precision, and how often checkpoints are written.
        on_checkpoint: called at the end of every epoch, at the last step before every drop of the learning rate, every
            ``event_every_steps`` steps, and at the very end, before the checkpoint is written.
        event_every_steps: number of steps between two further calls of ``on_checkpoint``; 0: there are none.
        measure: called at the end of every epoch and of the training; returns figures for the log, by name, and changes
            nothing that the training depends on.

    Attributes:
        ema: the average of the student's weights, if ``training.ema_decay`` is set.
    """

    ema: AveragedModel | None = None
    _stop: StopRequest

    def __init__(
        self, run: Run, method: Method, stages: Callable[[int], Stage], loader: Loader, recipe: TrainingRecipe,
        machine: Machine, *, on_checkpoint: Callable[[CheckpointEvent], None] | None = None,
        event_every_steps: int = 0, measure: Callable[[], Mapping[str, float]] | None = None,
    ) -> None:
        self.run = run
        self.method = method
        self.stages = stages
        self.loader = loader
        self.recipe = recipe
        self.machine = machine
        self.on_checkpoint = on_checkpoint
        self.event_every_steps = event_every_steps
        self.measure = measure
        self.scaler = machine.build_grad_scaler()
        self.guard = NanGuard(run, loader)
        self.checkpoint_seconds = 60 * machine.recipe.checkpoint_every_minutes
        self.steps = max(1, round(recipe.epochs * loader.steps_per_epoch))
        self._last_checkpoint = time.monotonic()

    def fit(self) -> None:
        """Train to the end, from the newest checkpoint or from the beginning.

        After SIGINT or SIGTERM the current step ends (under torchrun, the steps up to the next log line), a checkpoint
        is written, and the signal's exception is raised, see `facekd.utils.signals`.

        Raises:
            KeyboardInterrupt: SIGINT or SIGTERM arrived.
            ModelError: no checkpoint is intact, or the newest belongs to another architecture.
            FacekdError: the loss is no longer finite; the last checkpoint is kept, and the batch, see `NanGuard`.
            SetupError: the disk is full, or the process has not joined the others of its torchrun.
        """
        check_initialized()
        self._prepare_networks()
        position, optimizer_state = Position(0, 0, 0), None
        optimizer: torch.optim.Optimizer | None = None
        if restored := checkpoint.restore(self.run.checkpoints, self.method):
            position, states = restored
            optimizer_state = states["optimizer"]
            self.scaler.load_state_dict(states["scaler"])
            if self.ema is not None:
                self.ema.load_state_dict(states["ema"])
        batch_size = self.loader.batch_size
        with (
            StopRequest() as self._stop,
            MetricLogger(self.run, position.step) as logger,
            progress_bar(self.run.path.name, self.steps * batch_size, "img", position.step * batch_size) as advance,
        ):
            while True:
                end, optimizer = self._train_stage(position, optimizer, optimizer_state, logger, advance)
                if end >= self.steps:
                    return
                position, optimizer_state = Position(position.stage + 1, 0, end), None
                if self.recipe.cycle == "stage":
                    optimizer = None

    def _prepare_networks(self) -> None:
        self.method.to(self.machine.device)
        for network in self.method.networks:
            self.machine.prepare(network)
            if self.recipe.sync_batchnorm:
                convert_sync_batchnorm(network, self.machine.device)
        self.ema = build_ema(self.method.student, self.recipe.ema_decay)

    def _train_stage(self, begin: Position, optimizer: torch.optim.Optimizer | None,
                     optimizer_state: dict[str, Any] | None, logger: MetricLogger, advance: Advance
                     ) -> tuple[int, torch.optim.Optimizer]:
        """Train the rest of one stage, from ``begin`` on; return its last step and its optimizer."""
        stage = self.stages(begin.stage)
        stage_begin = begin.step - begin.stage_step
        # Every stage has at least one step, and none exceeds the training.
        end = min(self.steps, max(stage_begin + 1, round(stage.until * self.loader.steps_per_epoch)))
        schedule = StageSchedule(self.recipe, stage_begin, end, self.steps, self.loader.steps_per_epoch,
                                 self.event_every_steps)
        self.method.on_stage_start(stage)
        self.method.train()
        train_step = TrainStep(self.method, self.recipe, self.machine, self.scaler, self.ema, optimizer=optimizer)
        if optimizer_state is not None:
            state = shard_optimizer_state(self.method, train_step.optimizer, optimizer_state)
            train_step.optimizer.load_state_dict(state)
        self._last_checkpoint = time.monotonic()
        for step, batch in enumerate(self.loader.iter_steps(begin.step, end - begin.step), begin.step + 1):
            learning_rate = schedule.learning_rate(step)
            metrics, norms = train_step(batch, learning_rate, (step - 1) / self.steps)
            logger.add(metrics)
            self.guard.add(StepRecord(step, begin.stage, learning_rate, {**metrics, **norms}))
            position = Position(begin.stage, step - stage_begin, step)
            self._after_step(position, schedule, train_step.optimizer, logger)
            advance(self.loader.batch_size, logger.note())
        return end, train_step.optimizer

    def _after_step(self, position: Position, schedule: StageSchedule, optimizer: torch.optim.Optimizer,
                    logger: MetricLogger) -> None:
        """Write the log and a checkpoint where they are due after a step."""
        step = position.step
        is_log_step = step % LOG_EVERY_STEPS == 0
        # The time is looked at in log steps only, so that it adds no lines to the log.
        stops = self._is_stop_requested(is_log_step)
        is_checkpoint_step = (schedule.is_checkpoint_step(step) or stops
                              or (is_log_step and self._is_checkpoint_overdue()))
        if is_checkpoint_step:
            average_batchnorm_statistics(self.method, self.ema)
        if is_log_step or is_checkpoint_step:
            is_measured = step == self.steps or schedule.ends_epoch(step)
            means = logger.write(step, step / self.loader.steps_per_epoch, position.stage, schedule.learning_rate(step),
                                 measure=self.measure if is_measured else None)
            overflow = {"every gradient": math.inf} if self.scaler.get_scale() < MIN_LOSS_SCALE else {}
            self.guard.check({**means, **overflow})
        if is_checkpoint_step:
            self.guard.check_weights(self.method)
            self._call_on_checkpoint(step, schedule, logger)
            self._save_checkpoint(position, optimizer)
            self._last_checkpoint = time.monotonic()
        if stops:
            raise_signal(self._stop.received or signal.SIGTERM)

    def _is_stop_requested(self, is_log_step: bool) -> bool:
        """Return whether a signal arrived; several processes ask each other in log steps."""
        return (is_log_step or get_world_size() == 1) and any_process(self._stop.received != 0)

    def _is_checkpoint_overdue(self) -> bool:
        """Return whether the last checkpoint is older than ``machine.checkpoint_every_minutes``, by rank 0's clock."""
        age = time.monotonic() - self._last_checkpoint
        return any_process(is_main_process() and age > self.checkpoint_seconds)

    def _call_on_checkpoint(self, step: int, schedule: StageSchedule, logger: MetricLogger) -> None:
        reason = schedule.event_reason(step)
        if reason is not None and self.on_checkpoint is not None:
            epoch = step / self.loader.steps_per_epoch
            self.on_checkpoint(CheckpointEvent(step, epoch, schedule.learning_rate(step), reason, dict(logger.latest)))

    def _save_checkpoint(self, position: Position, optimizer: torch.optim.Optimizer) -> None:
        method_state = gather_state(self.method)
        optimizer_state = gather_optimizer_state(self.method, optimizer)
        if is_main_process():
            checkpoint.save(self.run.checkpoints, position, method_state, self.machine.recipe.keep_checkpoints,
                            optimizer=optimizer_state, scaler=self.scaler.state_dict(),
                            ema=self.ema.state_dict() if self.ema is not None else {})
