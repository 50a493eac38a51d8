"""Pretraining of a loss's teacher modules (a paraphraser, class centers, margins) before the student's training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from facekd.data.loading.loader import Batch, Loader
from facekd.losses import Loss
from facekd.types import BatchContext, ModelOutput
from facekd.utils.progress import progress_bar

PEAK_LEARNING_RATE = 0.1
"""The learning rate of the first step; it follows a cosine to 0."""
MOMENTUM = 0.9
MAX_GRAD_NORM = 5.0


def losses_to_pretrain(losses: nn.ModuleDict) -> list[Loss]:
    """Return the losses that have a pretraining."""
    return [loss for loss in losses.values() if isinstance(loss, Loss) and loss.pretrain_epochs > 0]


def pretrain_on_teacher(loss: Loss, teacher: Callable[[Batch], ModelOutput], loader: Loader, device: torch.device
                        ) -> None:
    """Train ``loss.teacher_modules`` on a teacher's outputs for ``loss.pretrain_epochs`` epochs.

    The images and their order depend on the loader's seed only, so that a run that is killed during the pretraining
    repeats it with the same result.

    Args:
        loss: the loss, on ``device``; its teacher modules are frozen again afterwards.
        teacher: maps a batch to the teacher's output.
        loader: the loader of the training set; its epochs 0, 1, ... are used.
        device: the device of the loss.
    """
    steps = math.ceil(loss.pretrain_epochs * loader.steps_per_epoch)
    parameters = list(loss.teacher_modules.parameters())
    optimizer = torch.optim.SGD(parameters, lr=PEAK_LEARNING_RATE, momentum=MOMENTUM) if parameters else None
    loss.teacher_modules.train().requires_grad_(True)
    with progress_bar(f"pretraining of {loss.name}", steps * loader.batch_size) as advance:
        for step, batch in enumerate(loader.iter_steps(0, steps)):
            batch = batch.to(device)
            context = BatchContext(batch.labels, batch.index, step / steps)
            value = loss.pretrain_loss(teacher(batch), context)
            if value is not None and optimizer is not None:
                _optimizer_step(value, optimizer, parameters, step / steps)
            advance(loader.batch_size, "" if value is None else f"loss {float(value.detach()):.3f}")
    loss.teacher_modules.eval().requires_grad_(False)


def _optimizer_step(value: torch.Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter],
                    share: float) -> None:
    """Take one step; ``share`` is the completed share of the pretraining."""
    for group in optimizer.param_groups:
        group["lr"] = PEAK_LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * share))
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
    optimizer.step()
    # Leftover gradients would be included in the student's gradient clipping, but not in that of a resumed run.
    optimizer.zero_grad(set_to_none=True)
