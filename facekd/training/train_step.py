"""The optimiser's steps of one batch, on one process or on several that share it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from facekd.config import ScheduleRecipe
from facekd.data.loading.loader import Batch
from facekd.training.data_parallel import Replicas
from facekd.training.machine import Machine
from facekd.training.method import Method, Turn
from facekd.training.optimizers import create_optimizer
from facekd.training.sharded_state import gradient_norm

Figures = dict[str, Tensor]


class Stepper:
    """Takes the steps of a stage, with an optimiser of its own.

    Args:
        method: what is trained, on its device.
        schedule: the optimiser, the parts of a batch and the limit of gradients.
        machine: how to compute.
        scaler: of the training.
        average: a mean of the student's weights to keep up, if there is one.
    """

    def __init__(self, method: Method, schedule: ScheduleRecipe, machine: Machine, scaler: torch.amp.GradScaler,
                 average: AveragedModel | None) -> None:
        self.method, self.schedule, self.machine, self.scaler, self.average = method, schedule, machine, scaler, average
        self.optimizer = create_optimizer(method, schedule, machine.device)
        self._replicas = Replicas(method)

    def __call__(self, batch: Batch, rate: float, done: float) -> tuple[Figures, Figures]:
        """Train on a batch.

        Args:
            batch: this process's part of it.
            rate: the learning rate.
            done: share of the training's steps that are done.

        Returns:
            the terms of all turns, and as ``loss`` the total of the last; the norms of the gradients, where float16
            does not make it usual that some are not finite.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["pace"]
        parts = batch.to(self.machine.device).parts(self.schedule.accumulate)
        figures, norms = Figures(), Figures()
        for turns in zip(*(self.method.turns(part, done) for part in parts), strict=True):
            figures |= self._backward(turns)
            self.scaler.unscale_(self.optimizer)
            for name, part in self.method.named_children():  # young class centres' gradients would silence a network's
                if weights := [weight for weight in part.parameters() if weight.grad is not None]:
                    norm = norms[f"gradient.{name}"] = gradient_norm(part, weights)
                    nn.utils.clip_grads_with_norm_(weights, self.schedule.clip, norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.method.stepped(done)
        if self.average is not None:
            self.average.update_parameters(self.method.student)
        return figures, {} if self.scaler.is_enabled() else norms

    def _backward(self, turns: Sequence[Turn]) -> Figures:
        """The mean gradient of a turn on all parts; gives the means of its terms."""
        self.optimizer.zero_grad(set_to_none=True)
        found: list[Figures] = []
        for number, turn in enumerate(turns, 1):
            with self._replicas.adding_up(last=number == len(turns)):
                with self.machine.autocast():
                    losses = self._replicas(turn)
                total = torch.stack(list(losses.values())).sum()
                self.scaler.scale(total / len(turns)).backward()  # type: ignore[no-untyped-call]
            found.append({"loss": total.detach(), **{name: term.detach() for name, term in losses.items()}})
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
