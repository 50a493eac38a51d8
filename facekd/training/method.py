"""The contract between the loop and what is trained; it stands here because the loop is who relies on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from facekd.data.loading.loader import Batch

Turn = Callable[[], dict[str, Tensor]]
"""Computes named, weighted loss terms (scalars, float32)."""


@dataclass(frozen=True)
class Stage:
    """A part of a training with one target and a learning-rate cycle of its own.

    Attributes:
        until: epochs of the whole training that are done when it ends; need not be whole.
        anchors: the route points whose mean a student follows in it; none where there is no teacher.
    """

    until: float
    anchors: tuple[int, ...] = ()


class Method(nn.Module, ABC):
    """Owns the network in training and what it needs from teachers; the loop knows nothing about either.

    What is trained are its submodules (student, head, projection), whose gradients are clipped one by one. Frozen
    teachers must not be among them: what ``state_dict`` holds is what a checkpoint holds.

    Attributes:
        student: the network this training is for; it is what the run leaves behind.
        uses_all: whether every turn has a gradient for every weight; of others it is looked up in each step which.
        pace: factors on the learning rate of submodules, by name; 1 where none is given.
    """

    student: nn.Module
    uses_all: ClassVar[bool] = False
    pace: Mapping[str, float] = MappingProxyType({})

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage, e.g. fetch its anchor; called once before the stage's first step, also on resume."""

    @property
    def networks(self) -> list[nn.Module]:
        """Those that are worth laying out for the machine, and compiling."""
        return [self.student]

    @abstractmethod
    def losses(self, batch: Batch, done: float) -> dict[str, Tensor]:
        """The named, weighted loss terms of a batch (scalars, float32); the loop minimises their sum.

        Args:
            batch: the images.
            done: share of the training's steps that are done, from 0 to below 1.
        """

    def turns(self, batch: Batch, done: float) -> list[Turn]:
        """What the loop minimises on a batch, one optimiser step after the other; the student's turn comes last.

        Where networks are trained in turns, the second sees the first as its step has left it. What a turn has no
        gradient for is left alone by its step.
        """
        return [lambda: self.losses(batch, done)]

    def stepped(self, done: float) -> None:
        """What is left to do once the optimiser has taken its steps on a batch; by default nothing."""
