"""Lessons: what a loss learns from a teacher before its student does (a paraphraser, class centres, margins)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from facekd.data.loading.loader import Batch, Loader
from facekd.losses import Loss
from facekd.types import Answer, Question
from facekd.utils.progress import progress

RATE, MOMENTUM, CLIP = 0.1, 0.9, 5.0
"""Peak learning rate (cosine to 0), momentum and largest gradient norm of what is prepared."""


def give_lessons(loss: Loss, teacher: Callable[[Batch], Answer], loader: Loader, device: torch.device) -> None:
    """Train what ``loss.prepared`` holds on a teacher's answers, for ``loss.lessons`` epochs.

    The images and their order follow from the loader's seed, so that a run which is killed meanwhile learns the same
    when it begins again.

    Args:
        loss: on ``device``; its prepared parts are frozen again afterwards.
        teacher: gives the answer to a batch.
        loader: of the training set; its epochs 0, 1, ... are shown.
        device: where the answers shall be.
    """
    steps, parts = math.ceil(loss.lessons * loader.steps), list(loss.prepared.parameters())
    optimizer = torch.optim.SGD(parts, lr=RATE, momentum=MOMENTUM) if parts else None
    loss.prepared.train().requires_grad_(True)
    with progress(f"lessons of {loss.name}", steps * loader.batch) as advance:
        for step, batch in enumerate(loader.run(0, steps)):
            batch, done = batch.to(device), step / steps
            value = loss.lesson(teacher(batch), Question(batch.labels, batch.index, done))
            if value is not None and optimizer is not None:
                _step(value, optimizer, parts, done)
            advance(loader.batch, "" if value is None else f"loss {float(value.detach()):.3f}")
    loss.prepared.eval().requires_grad_(False)


def _step(value: torch.Tensor, optimizer: torch.optim.Optimizer, parts: list[nn.Parameter], done: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * done))
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(parts, CLIP)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # what were left would be clipped with the student's, unless a run is resumed
