"""What a training writes down: ``log.jsonl`` for programs, TensorBoard events for people."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from types import TracebackType

import torch
from torch import Tensor

from facekd.distributed import leads, mean
from facekd.run import Run
from facekd.utils.files import room_for


class Log:
    """Collects a training's figures and writes their means.

    Args:
        run: the run; lines after ``step`` are dropped, a continued run writes them again.
        step: steps that were done before.

    Attributes:
        latest: the means written last.
    """

    def __init__(self, run: Run, step: int) -> None:
        self._files = _Files(run, step) if leads() else None
        self._waiting: list[dict[str, Tensor]] = []
        self._since = time.monotonic()
        self.latest: dict[str, float] = {}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._files:
            self._files.close()

    def add(self, figures: dict[str, Tensor]) -> None:
        """Keep the figures of one step (scalars); nothing is copied from the device before `write`."""
        self._waiting.append(figures)

    def write(self, step: int, epoch: float, stage: int, learning_rate: float) -> dict[str, float]:
        """Write the means of what was added since the last call, over all processes, and give them."""
        names = dict.fromkeys(name for figures in self._waiting for name in figures)  # terms come and go
        means = [torch.stack([w[n].float() for w in self._waiting if n in w]).mean() for n in names]
        self.latest = dict(zip(names, mean(torch.stack(means)).tolist(), strict=True)) if means else {}
        now = time.monotonic()
        seconds_per_step = (now - self._since) / len(self._waiting)
        self._waiting, self._since = [], now
        if self._files:
            line = {"step": step, "epoch": round(epoch, 4), "stage": stage, "learning_rate": learning_rate,
                    "seconds_per_step": round(seconds_per_step, 4), **self.latest}
            self._files.write(line, {**self.latest, "learning_rate": learning_rate, "stage": stage})
        return self.latest


class _Files:
    """``log.jsonl`` and TensorBoard's events, of which one process writes."""

    def __init__(self, run: Run, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only a training needs it

        self._run = run
        run.trim_log(step)
        self._lines = run.log_file.open("a", encoding="utf-8")
        self._events = SummaryWriter(str(run.path / "tensorboard"), purge_step=step)

    def write(self, line: Mapping[str, float], events: Mapping[str, float]) -> None:
        with room_for(self._run.log_file):
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
            for name, value in events.items():
                self._events.add_scalar(name, value, int(line["step"]))

    def close(self) -> None:
        with room_for(self._run.log_file):
            self._lines.close()
            self._events.close()
