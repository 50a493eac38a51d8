"""Helpers for losses of feature maps: pairs of a student's and a teacher's feature map, and equal resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.types import ModelOutput


def require_feature_maps(output: ModelOutput, network: str, loss: str) -> tuple[Tensor, ...]:
    """Return the feature maps [N, C, H, W] of an output, shallow to deep.

    Args:
        output: the output of a network.
        network: "student" or "teacher", for the error message.
        loss: the name of the loss, for the error message.

    Raises:
        ModelError: the output has no feature maps.
    """
    if not output.feature_maps:
        raise ModelError(f"loss {loss}: the {network}'s output has no feature maps: "
                         "run the network live and request its feature maps; a network without stages (mlp) has none")
    return output.feature_maps


def pair_feature_maps(
    student: ModelOutput, teacher: ModelOutput, loss: str, count: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of a student's and a teacher's feature map, shallow to deep.

    Network stages are paired from the deep end: the last with the last, the one before with the one before. Of the
    network with more stages the shallowest are left out.

    Args:
        student: the student's output, with feature maps.
        teacher: the teacher's output, with feature maps.
        loss: the name of the loss, for the error message.
        count: the number of pairs that the loss has modules for; 0 for any number.

    Raises:
        ModelError: an output has no feature maps, or the number of pairs is not ``count``.
    """
    student_maps = require_feature_maps(student, "student", loss)
    teacher_maps = require_feature_maps(teacher, "teacher", loss)
    pairs = min(len(student_maps), len(teacher_maps))
    check_pair_count(pairs, count or pairs, loss)
    return list(zip(student_maps[-pairs:], teacher_maps[-pairs:], strict=True))


def check_pair_count(pairs: int, count: int, loss: str) -> None:
    """Raise a ModelError unless the number of pairs of feature maps is the one that the loss was created for."""
    if pairs != count:
        raise ModelError(f"loss {loss}: pairs of feature maps: {pairs}, but it was created for {count}: "
                         "create a new loss for these networks")


def match_resolution(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Bring two feature maps [N, C, H, W], of any channels, to one height and width by averaging the larger down.

    Height and width are treated separately: each becomes the smaller of the two.
    """
    resolution = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return _average_down(first, resolution), _average_down(second, resolution)


def _average_down(maps: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Average feature maps [N, C, H, W] down to a height and a width."""
    return maps if maps.shape[2:] == resolution else functional.adaptive_avg_pool2d(maps, resolution)
