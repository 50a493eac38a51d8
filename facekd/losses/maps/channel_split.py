"""Helpers for the losses of inheritance and exploration: two halves of a feature map's channels, and similarity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facekd.errors import ModelError
from facekd.losses.pairwise import row_cosines


class ChannelSplit(nn.Module):
    """Splits a feature map [N, C, H, W] into the C // 2 channels that inherit and the other channels, which explore.

    Args:
        channels: C, at least 2.
        split: "natural" for the first half and the second half, "random" for a fixed permutation.
        split_seed: the seed of the permutation.
        loss: the name of the loss, for the error message.

    Attributes:
        order: the channels in the order of the two halves, int64 [C].

    Raises:
        ModelError: a single channel, or an unknown kind of split.
    """

    order: Tensor

    def __init__(self, channels: int, split: str, split_seed: int, loss: str) -> None:
        super().__init__()
        if channels < 2:
            raise ModelError(f"loss {loss}: a student's feature map has {channels} channel, which cannot be halved")
        check_choice(split, ("natural", "random"), "split", loss)
        generator = torch.Generator().manual_seed(split_seed)
        order = torch.randperm(channels, generator=generator) if split == "random" else torch.arange(channels)
        self.register_buffer("order", order)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the half of the channels that inherits and the half that explores."""
        if maps.shape[1] != len(self.order):
            raise ModelError(f"a student's feature map has {maps.shape[1]} channels and the loss was created for "
                             f"{len(self.order)}: create a new loss for this network")
        half = len(self.order) // 2
        return maps[:, self.order[:half]], maps[:, self.order[half:]]


def check_choice(value: str, choices: tuple[str, ...], option: str, loss: str) -> None:
    """Raise a ModelError unless the value of an option is one of its choices."""
    if value not in choices:
        raise ModelError(f"loss {loss}: {option} '{value}' is none of: {', '.join(choices)}")


def mean_abs_cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean over images of |cos| between two feature maps of one size, flattened per image; from 0 to 1."""
    return row_cosines(first.flatten(1), second.flatten(1)).abs().mean()
