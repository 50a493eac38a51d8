from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.feature_maps import match_resolution, pair_feature_maps, require_feature_maps
from facekd.types import ModelOutput


def make_output(*channels: int) -> ModelOutput:
    return ModelOutput(torch.zeros(2, 3), tuple(torch.zeros(2, c, 4, 4) for c in channels))


@pytest.mark.parametrize(("student", "teacher", "pairs"), [
    ((1, 2, 3), (4, 5, 6), [(1, 4), (2, 5), (3, 6)]),
    ((1, 2), (4, 5, 6), [(1, 5), (2, 6)]),
    ((1, 2, 3), (4,), [(3, 4)]),
])
def test_stages_are_paired_from_the_deep_end(
    student: tuple[int, ...], teacher: tuple[int, ...], pairs: list[tuple[int, int]]
) -> None:
    result = pair_feature_maps(make_output(*student), make_output(*teacher), "at")
    assert [(first.shape[1], second.shape[1]) for first, second in result] == pairs


@pytest.mark.parametrize(("student", "teacher", "network"), [((), (1,), "student"), ((1,), (), "teacher")])
def test_an_output_without_feature_maps_is_refused(
    student: tuple[int, ...], teacher: tuple[int, ...], network: str
) -> None:
    with pytest.raises(ModelError, match=f"loss at: the {network}'s output has no feature maps: run the network live"):
        pair_feature_maps(make_output(*student), make_output(*teacher), "at")


def test_maps_are_given_as_they_are() -> None:
    output = make_output(1, 2)
    assert require_feature_maps(output, "student", "at") is output.feature_maps


def test_height_and_width_become_the_smaller_each() -> None:
    first, second = torch.randn(2, 3, 8, 2), torch.randn(2, 5, 4, 4)
    student, teacher = match_resolution(first, second)
    torch.testing.assert_close(student, first.reshape(2, 3, 4, 2, 2).mean(dim=3))
    torch.testing.assert_close(teacher, second.reshape(2, 5, 4, 2, 2).mean(dim=4))


def test_maps_of_one_side_are_left_alone() -> None:
    first, second = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    student, teacher = match_resolution(first, second)
    assert student is first and teacher is second
