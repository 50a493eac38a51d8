"""What losses of intermediate maps share: which map stands beside which, and two maps of one side."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.types import Answer


def maps_of(answer: Answer, whose: str, loss: str) -> tuple[Tensor, ...]:
    """The maps [N, C, H, W] of an answer, shallow to deep.

    Args:
        answer: a network's.
        whose: "student" or "teacher", for the error's sentence.
        loss: the name of the loss that asks, likewise.

    Raises:
        ModelError: the answer holds none.
    """
    if not answer.maps:
        raise ModelError(f"loss {loss}: the {whose}'s answer holds no maps: run it live, and ask for its maps as well")
    return answer.maps


def paired(student: Answer, teacher: Answer, loss: str, count: int = 0) -> list[tuple[Tensor, Tensor]]:
    """The student's maps beside the teacher's, shallow to deep, as they are.

    Stages are paired from the deep end: last with last, the one before with the one before. Of the network with more
    of them the shallowest are left out.

    Args:
        student: with maps.
        teacher: likewise.
        loss: the name of the loss that asks, for the error's sentence.
        count: of the pairs that the loss has parts for; 0 for any.

    Raises:
        ModelError: one of them holds no maps, or there are more or fewer pairs than parts.
    """
    own, target = maps_of(student, "student", loss), maps_of(teacher, "teacher", loss)
    pairs = min(len(own), len(target))
    demand_pairs(pairs, count or pairs, loss)
    return list(zip(own[-pairs:], target[-pairs:], strict=True))


def demand_pairs(pairs: int, count: int, loss: str) -> None:
    """Raise a ModelError unless there are as many pairs of maps as a loss was made for."""
    if pairs != count:
        raise ModelError(f"loss {loss}: pairs of maps: {pairs}, but it was made for {count}: "
                         "make a new one for these networks")


def level(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps [N, C, H, W], of any channels, of one height and one width: the larger is averaged down to the smaller.

    Height and width are settled apart: each becomes the smaller of the two.
    """
    side = (min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3]))
    return _down(first, side), _down(second, side)


def _down(maps: Tensor, side: tuple[int, int]) -> Tensor:
    """Maps [N, C, H, W] averaged down to a height and a width."""
    return maps if maps.shape[2:] == side else functional.adaptive_avg_pool2d(maps, side)
