"""The training log: ``log.jsonl`` for programs, TensorBoard events for people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType

import torch
from torch import Tensor

from facekd.distributed import all_reduce_mean, is_main_process
from facekd.io.training_log import HELD_OUT_COSINE, TEACHER_COSINE
from facekd.io.writing import writing
from facekd.run import Run


class MetricLogger:
    """Collects the metrics of training steps and writes their means.

    Args:
        run: the run; log lines after ``step`` are dropped, because a resumed run writes them again.
        step: number of steps that are done.

    Attributes:
        latest: the means that were written last.
        measured: the figures that were measured last beside the training steps, see `write`.
    """

    def __init__(self, run: Run, step: int) -> None:
        self.latest: dict[str, float] = {}
        self.measured: dict[str, float] = {}
        self._writer = _LogWriter(run, step) if is_main_process() else None
        self._pending: list[dict[str, Tensor]] = []
        self._last_write = time.monotonic()

    def __enter__(self) -> MetricLogger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._writer:
            self._writer.close()

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Collect the metrics of one step (scalars); nothing is copied from the device before `write`."""
        self._pending.append(metrics)

    def write(self, step: int, epoch: float, stage: int, learning_rate: float, *,
              measure: Callable[[], Mapping[str, float]] | None = None) -> dict[str, float]:
        """Write and return the means, over steps since the last call and over all ranks.

        Args:
            step: number of steps that are done.
            epoch: number of epochs that are done.
            stage: the number of the stage.
            learning_rate: the learning rate of the step.
            measure: measures further figures of this step; its time does not count as that of training steps.
        """
        names = dict.fromkeys(name for metrics in self._pending for name in metrics)  # not every step has every term
        means = [torch.stack([m[name].float() for m in self._pending if name in m]).mean() for name in names]
        values = all_reduce_mean(torch.stack(means)).tolist() if means else []
        self.latest = dict(zip(names, values, strict=True))
        now = time.monotonic()
        seconds_per_step = (now - self._last_write) / len(self._pending)
        self._pending = []
        if measure is not None:
            self.measured = dict(measure())
            self.latest |= self.measured
        self._last_write = time.monotonic()
        if self._writer:
            line = {"step": step, "epoch": round(epoch, 4), "stage": stage, "learning_rate": learning_rate,
                    "seconds_per_step": round(seconds_per_step, 4), **self.latest}
            self._writer.write(line, {**self.latest, "learning_rate": learning_rate, "stage": stage})
        return self.latest

    def note(self) -> str:
        """Return the loss and the cosines to the teacher that were written last, for the line of the progress."""
        figures = {"cosine": self.latest.get(TEACHER_COSINE), "held out": self.measured.get(HELD_OUT_COSINE)}
        cosines = [f"{label} {value:.3f}" for label, value in figures.items() if value is not None]
        return ", ".join([f"loss {self.latest.get('loss', 0):.3f}", *cosines])


class _LogWriter:
    """Writes ``log.jsonl`` and the TensorBoard events, on rank 0."""

    def __init__(self, run: Run, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and needed by trainings only

        run.truncate_log(step)
        self._log_file = run.log_file
        self._lines = run.log_file.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(run.path / "tensorboard"), purge_step=step)

    def write(self, line: Mapping[str, float], scalars: Mapping[str, float]) -> None:
        """Append a line to the log, and scalars to the events."""
        with writing(self._log_file):
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            for name, value in scalars.items():
                self._events.add_scalar(name, value, int(line["step"]))

    def close(self) -> None:
        """Close both files."""
        with writing(self._log_file):
            self._lines.close()
            self._events.close()
