"""What the losses of inheritance and exploration share: a map's two halves, and how alike two maps are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.utils.functional import unit


class Halves(nn.Module):
    """Divides a map [N, C, H, W] into the channels that inherit, C // 2 of them, and those that explore.

    Args:
        channels: C, at least 2.
        divide: "natural" is the first half and the second, "random" a permutation that is kept.
        split_seed: of the permutation.
        loss: the name of the loss that asks, for the error's sentence.

    Raises:
        ModelError: a map of one channel, or an unknown way to divide.
    """

    order: Tensor

    def __init__(self, channels: int, divide: str, split_seed: int, loss: str) -> None:
        super().__init__()
        if channels < 2:
            raise ModelError(f"loss {loss}: a student's map has {channels} channel, which cannot be halved")
        one_of(divide, ("natural", "random"), "divide", loss)
        generator = torch.Generator().manual_seed(split_seed)
        order = torch.randperm(channels, generator=generator) if divide == "random" else torch.arange(channels)
        self.register_buffer("order", order)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The map's two halves."""
        if maps.shape[1] != len(self.order):
            raise ModelError(f"a student's map has {maps.shape[1]} channels and the loss was made for "
                             f"{len(self.order)}: make a new one for this network")
        first = len(self.order) // 2
        return maps[:, self.order[:first]], maps[:, self.order[first:]]


def one_of(value: str, valid: tuple[str, ...], option: str, loss: str) -> None:
    """Refuses the value of an option that is none of the valid ones, by a ModelError."""
    if value not in valid:
        raise ModelError(f"loss {loss}: {option} '{value}' is none of: {', '.join(valid)}")


def cosine(own: Tensor, target: Tensor) -> Tensor:
    """Mean over images of |cos| between two maps of one size, from 0 to 1; each image's map is one vector."""
    return (unit(own.flatten(1)) * unit(target.flatten(1))).sum(dim=1).abs().mean()
