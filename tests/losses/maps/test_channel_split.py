from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.maps.channel_split import ChannelSplit, check_choice, mean_abs_cosine


def maps(channels: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, channels, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_natural_split_gives_the_first_and_the_second_half() -> None:
    x = maps(5)
    first, second = ChannelSplit(5, "natural", 0, "ie")(x)
    assert torch.equal(first, x[:, :2]) and torch.equal(second, x[:, 2:])


def test_a_random_split_gives_every_channel_once_and_follows_its_seed() -> None:
    x = maps(64)
    split, same, other = (ChannelSplit(64, "random", seed, "ie") for seed in (1, 1, 2))
    assert torch.equal(split.order, same.order) and not torch.equal(split.order, other.order)
    assert sorted(split.order.tolist()) == list(range(64))
    assert torch.equal(torch.cat(split(x), dim=1), x[:, split.order])


def test_the_split_is_in_the_state() -> None:
    split, other = ChannelSplit(64, "random", 1, "ie"), ChannelSplit(64, "random", 2, "ie")
    other.load_state_dict(split.state_dict())
    assert torch.equal(other.order, split.order)


def test_useless_splits_are_refused() -> None:
    with pytest.raises(ModelError, match="loss ie: a student's feature map has 1 channel, which cannot be halved"):
        ChannelSplit(1, "natural", 0, "ie")
    with pytest.raises(ModelError, match="loss ie: split 'odd' is none of: natural, random"):
        ChannelSplit(4, "odd", 0, "ie")
    with pytest.raises(ModelError, match="has 6 channels and the loss was created for 4"):
        ChannelSplit(4, "natural", 0, "ie")(maps(6))


def test_a_choice_is_one_of_the_valid_ones() -> None:
    with pytest.raises(ModelError, match="loss ie: kind 'c' is none of: a, b"):
        check_choice("c", ("a", "b"), "kind", "ie")


def test_the_cosine_is_the_mean_of_its_absolute_values_over_images() -> None:
    first, second = maps(4), maps(4, seed=1)
    pairs = zip(first.numpy().reshape(3, -1), second.numpy().reshape(3, -1), strict=True)
    truth = np.mean([abs(a @ b) / np.sqrt((a @ a) * (b @ b)) for a, b in pairs])
    assert float(mean_abs_cosine(first, second)) == pytest.approx(truth, rel=1e-12)
    assert float(mean_abs_cosine(first, -3 * first)) == pytest.approx(1)
