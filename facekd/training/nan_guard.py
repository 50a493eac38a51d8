"""Stops a training that is no longer finite, and keeps the batch on which that happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from facekd import distributed as ranks
from facekd.data.loading.loader import Loader
from facekd.errors import FacekdError, SetupError
from facekd.run import Run
from facekd.utils import files

NAME = "not_finite"


@dataclass(frozen=True)
class Done:
    """A step that was done.

    Attributes:
        step: its number, from 1.
        stage: the stage it belongs to.
        learning_rate: of it.
        figures: losses and norms of gradients (scalars); nothing is copied from the device before `Guard.check`.
    """

    step: int
    stage: int
    learning_rate: float
    figures: Mapping[str, Tensor]


class Guard:
    """Remembers the figures of the steps since the last check; batches it need not, the loader makes them again.

    Args:
        run: where ``not_finite.safetensors`` and ``not_finite.json`` are written.
        loader: of the training.
    """

    def __init__(self, run: Run, loader: Loader) -> None:
        self._run, self._loader = run, loader
        self._done: list[Done] = []

    def add(self, done: Done) -> None:
        """Remember a step."""
        self._done.append(done)

    def check(self, figures: Mapping[str, float]) -> None:
        """Go on where all figures are finite.

        Raises:
            FacekdError: one is not. The batch of the first step that had a loss or gradient which was not finite is
                written (images, labels, index and slot), or of the last step, where none had.
        """
        bad = [name for name, value in figures.items() if not math.isfinite(value)]
        if not bad:
            self._done = self._done[-1:]  # a last gradient may turn out later to have spoilt the weights
            return
        # Every process remembers the same steps, and sees its own part of their figures.
        spoilt = ranks.mean(torch.tensor([float(not _finite(done)) for done in self._done])).nonzero()
        first = self._done[int(spoilt[0]) if len(spoilt) else -1]
        try:
            kept = f"is kept in {self._keep(first)}"
        except SetupError as problem:
            kept = f"could not be kept ({problem})"
        raise FacekdError(
            f"{self._run.path}: {', '.join(bad)} is no longer finite at step {first.step}, whose batch {kept}. "
            "The checkpoint before is kept; try a lower schedule.learning_rate, a longer "
            "schedule.warmup or machine.precision=float32 in a new run folder"
        )

    def _keep(self, done: Done) -> Path:
        path = self._run.path / f"{NAME}.safetensors"
        values = {name: float(ranks.mean(value.float())) for name, value in done.figures.items()}
        if not ranks.leads():
            return path
        batch = next(self._loader.whole().run(done.step - 1, 1))
        tensors = {"images": batch.images, "labels": batch.labels, "index": batch.index, "slot": batch.slot}
        files.write_bytes(path, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))
        files.write_json(path.with_suffix(".json"), {
            "step": done.step, "epoch": done.step / self._loader.steps, "stage": done.stage,
            "learning_rate": done.learning_rate,
            "figures": {name: value if math.isfinite(value) else str(value) for name, value in values.items()},
        })
        return path


def _finite(done: Done) -> bool:
    return all(math.isfinite(float(value)) for value in done.figures.values())
