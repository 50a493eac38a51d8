"""Aborts a training whose loss, gradients or weights are not finite, and saves the batch that caused it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from facekd.data.loading.loader import Loader
from facekd.distributed import all_reduce_mean, is_main_process
from facekd.errors import FacekdError, SetupError
from facekd.io import files
from facekd.run import Run

BATCH_FILE = "not_finite.safetensors"


@dataclass(frozen=True)
class StepRecord:
    """A step that is done.

    Attributes:
        step: its number, from 1.
        stage: number of the stage it belongs to.
        learning_rate: its learning rate.
        metrics: losses and gradient norms (scalars); nothing is copied from the device before `NanGuard.check`.
    """

    step: int
    stage: int
    learning_rate: float
    metrics: Mapping[str, Tensor]

    def is_finite(self) -> bool:
        """Return whether all metrics are finite, on this rank."""
        return all(math.isfinite(float(value)) for value in self.metrics.values())


class NanGuard:
    """Stores the metrics of the steps since the last check; batches are not stored, the loader reproduces them.

    Args:
        run: the run in which ``not_finite.safetensors`` and ``not_finite.json`` are written.
        loader: the loader of the training batches.
    """

    def __init__(self, run: Run, loader: Loader) -> None:
        self._run = run
        self._loader = loader
        self._records: list[StepRecord] = []

    def add(self, record: StepRecord) -> None:
        """Store the record of a step."""
        self._records.append(record)

    def check(self, figures: Mapping[str, float]) -> None:
        """Return if all figures are finite, else save a batch and raise.

        The batch (images, labels, index and cache slot) is that of the first stored step with a loss or gradient that
        is not finite, or of the last step, if there is none.

        Args:
            figures: mean losses or weights by name, equal on all ranks.

        Raises:
            FacekdError: a figure is not finite.
        """
        names = [name for name, value in figures.items() if not math.isfinite(value)]
        if not names:
            # The last step is kept: its gradient may turn out later to have made the weights infinite.
            self._records = self._records[-1:]
            return
        # All ranks store the same steps, each with the metrics of its own part of the batches.
        failed = all_reduce_mean(torch.tensor([float(not record.is_finite()) for record in self._records])).nonzero()
        record = self._records[int(failed[0]) if len(failed) else -1]
        try:
            outcome = f"is kept in {self._save_batch(record)}"
        except SetupError as problem:
            outcome = f"could not be kept ({problem})"
        raise FacekdError(
            f"{self._run.path}: {', '.join(names)} is no longer finite at step {record.step}, whose batch {outcome}. "
            "The checkpoint before is kept; try a lower training.learning_rate, a longer "
            "training.warmup_epochs or machine.precision=float32 in a new run folder"
        )

    def check_weights(self, method: nn.Module) -> None:
        """Check the weights: the loss of a step may be finite, and the weights after the step not.

        Raises:
            FacekdError: a weight on any rank is not finite.
        """
        largest = [weight.detach().abs().max().float() for weight in method.parameters() if weight.numel()]
        # The mean over ranks is not finite if the largest weight of one rank is not.
        self.check({"weights": float(all_reduce_mean(torch.stack(largest).max()))})

    def _save_batch(self, record: StepRecord) -> Path:
        path = self._run.path / BATCH_FILE
        metrics = {name: float(all_reduce_mean(value.float())) for name, value in record.metrics.items()}
        if not is_main_process():
            return path
        batch = next(self._loader.for_rank(0, 1).iter_steps(record.step - 1, 1))
        tensors = {"images": batch.images, "labels": batch.labels, "index": batch.index,
                   "cache_slot": batch.cache_slot}
        files.write_bytes(path, save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}))
        files.write_json(path.with_suffix(".json"), {
            "step": record.step, "epoch": record.step / self._loader.steps_per_epoch, "stage": record.stage,
            "learning_rate": record.learning_rate,
            "metrics": {name: value if math.isfinite(value) else str(value) for name, value in metrics.items()},
        })
        return path
