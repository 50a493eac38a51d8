"""Small methods and their trainer, for the tests of the training loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facekd.config import MachineRecipe, TrainingRecipe
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.machine import Machine
from facekd.training.method import LossClosure, Method, Stage
from facekd.training.trainer import Trainer

STEPS = 12
"""Steps of an epoch: 48 images, 4 a batch."""

KillAtStep = Callable[[int], AbstractContextManager[None]]
Stages = Sequence[Stage] | Callable[[int], Stage]


class Linear(Method):
    """A linear classifier of mean colors; the targets of its stages differ by the anchor, 0 where there is none."""

    student: nn.Linear

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Linear(3, 8)
        self.started_stages: list[int] = []
        self.poison: tuple[int, str] | None = None
        self.calls = 0

    def on_stage_start(self, stage: Stage) -> None:
        self.started_stages.append(sum(stage.anchors))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        labels = (batch.labels + self.started_stages[-1]) % 8
        loss = F.cross_entropy(self.student(mean_colors(batch).to(self.student.weight.dtype)), labels)
        self.calls += 1
        if self.poison is not None and self.calls == self.poison[0]:
            if self.poison[1] == "loss":
                return {"labels": loss * float("nan")}
            # sqrt is finite at 0 and its gradient is not
            return {"labels": loss + (self.student.weight - self.student.weight.detach()).square().sum().sqrt()}
        return {"labels": loss}


class Pair(Method):
    """Two linear networks with a step each: the teacher learns labels, the student the teacher after its step."""

    student: nn.Linear

    def __init__(self, idle: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Linear(3, 8)
        self.teacher = nn.Linear(3, 8)
        self.deputy = nn.Linear(3, 8)
        self.bystander = nn.Linear(3, 8)
        self.idle = idle  # after the first batch the deputy learns in place of the teacher
        self.seen: list[tuple[Tensor, Tensor]] = []

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        colors = mean_colors(batch)
        self._record_weights()
        return {"follow": F.mse_loss(self.student(colors), self.teacher(colors).detach())}

    def optimizer_passes(self, batch: Batch, progress: float) -> list[LossClosure]:
        return [lambda: self.teacher_losses(batch, progress), lambda: self.losses(batch, progress)]

    def teacher_losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        self._record_weights()
        learner = self.deputy if self.idle and progress > 0 else self.teacher
        return {"teacher.labels": F.cross_entropy(learner(mean_colors(batch)), batch.labels)}

    def _record_weights(self) -> None:
        self.seen.append((self.student.weight.detach().clone(), self.teacher.weight.detach().clone()))


def mean_colors(batch: Batch) -> Tensor:
    return batch.images.float().mean(dim=(1, 2)) / 255


def training_recipe(**values: Any) -> TrainingRecipe:
    no_warmup = {} if "warmup_steps" in values else {"warmup_epochs": 0}
    return TrainingRecipe(**{"batch_size": 4, "learning_rate": 0.5, "weight_decay": 0.01, **no_warmup, **values})


def build_trainer(path: Path, method: Method, loader: Loader, stages: Stages, **values: Any) -> Trainer:
    """Values are those of a `TrainingRecipe`, ``on_checkpoint``, ``event_every_steps`` and ``precision``.

    Stages that are not listed do not say when they end: then ``epochs`` has to be given.
    """
    events = {name: values.pop(name) for name in ("on_checkpoint", "event_every_steps") if name in values}
    path.mkdir(exist_ok=True)
    machine = Machine(MachineRecipe(device="cpu", threads=1, precision=values.pop("precision", "auto")))
    if not callable(stages):
        values = {"epochs": stages[-1].until, **values}
        stages = stages.__getitem__
    return Trainer(Run(path), method, stages, loader, training_recipe(**values), machine, **events)


def train_by_formula(loader: Loader, lengths: Sequence[int], restart: bool = True) -> nn.Linear:
    """Train `Linear` by the formula of SGD, with momentum from zero and a cosine in every stage."""
    method, step = Linear(), 0
    student = method.student
    batches = [b for epoch in range(9) for b in loader.iter_epoch(epoch)]
    momenta = [torch.zeros_like(p) for p in student.parameters()]
    for number, length in enumerate(lengths):
        method.on_stage_start(Stage(9, (number,)))
        momenta = [torch.zeros_like(p) for p in student.parameters()] if restart else momenta
        for i in range(length):
            rate = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / length, dtype=torch.float64)).item()) / 2
            loss = method.losses(batches[step], 0.0)["labels"]
            gradients = torch.autograd.grad(loss, list(student.parameters()))
            with torch.no_grad():
                for p, g, m in zip(student.parameters(), gradients, momenta, strict=True):
                    m.mul_(0.9).add_(g + (0.01 * p if p.ndim > 1 else 0))
                    p.sub_(rate * m)
            step += 1
    return student


def double_batches(loader: Loader) -> Loader:
    """The same batches of 4 in pairs."""
    return Loader(loader.images, 32, batch_size=8, seed=0, augmentation=Flip())


def log_without_times(path: Path) -> list[str]:
    lines = Run(path).read_log()
    return [json.dumps({k: v for k, v in line.items() if k != "seconds_per_step"}) for line in lines]


def newest_state(path: Path) -> dict[str, Any]:
    """The content of the newest checkpoint of a run."""
    newest = checkpoint.load_newest(Run(path).checkpoints)
    assert newest
    return newest[1]
