from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.feature_maps import level, maps_of, paired
from facekd.types import Answer


def answer(*channels: int) -> Answer:
    return Answer(torch.zeros(2, 3), tuple(torch.zeros(2, c, 4, 4) for c in channels))


@pytest.mark.parametrize(("own", "target", "pairs"), [
    ((1, 2, 3), (4, 5, 6), [(1, 4), (2, 5), (3, 6)]),
    ((1, 2), (4, 5, 6), [(1, 5), (2, 6)]),
    ((1, 2, 3), (4,), [(3, 4)]),
])
def test_stages_are_paired_from_the_deep_end(
    own: tuple[int, ...], target: tuple[int, ...], pairs: list[tuple[int, int]]
) -> None:
    got = [(first.shape[1], second.shape[1]) for first, second in paired(answer(*own), answer(*target), "at")]
    assert got == pairs


@pytest.mark.parametrize(("own", "target", "whose"), [((), (1,), "student"), ((1,), (), "teacher")])
def test_an_answer_without_maps_is_refused(own: tuple[int, ...], target: tuple[int, ...], whose: str) -> None:
    with pytest.raises(ModelError, match=f"loss at: the {whose}'s answer holds no maps: run it live"):
        paired(answer(*own), answer(*target), "at")


def test_maps_are_given_as_they_are() -> None:
    given = answer(1, 2)
    assert maps_of(given, "student", "at") is given.maps


def test_height_and_width_become_the_smaller_each() -> None:
    first, second = torch.randn(2, 3, 8, 2), torch.randn(2, 5, 4, 4)
    own, target = level(first, second)
    torch.testing.assert_close(own, first.reshape(2, 3, 4, 2, 2).mean(dim=3))
    torch.testing.assert_close(target, second.reshape(2, 5, 4, 2, 2).mean(dim=4))


def test_maps_of_one_side_are_left_alone() -> None:
    first, second = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    own, target = level(first, second)
    assert own is first and target is second
