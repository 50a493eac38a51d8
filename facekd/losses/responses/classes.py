"""What the losses of logits demand: a temperature to soften them with, and the same classes on both sides."""

from __future__ import annotations

from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import comparable


def demand_temperature(loss: str, temperature: float) -> None:
    """Raise a ModelError unless a temperature is above 0.

    Args:
        loss: the name of the loss that asks, for the error's sentence.
        temperature: T, which divides logits.
    """
    if temperature <= 0:
        raise ModelError(f"loss {loss}: temperature must be above 0, not {temperature}")


def same_classes(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Logits as ``comparable`` gives them: in float32 or better, the teacher's cut from the graph.

    Args:
        student: logits [N, classes], any float dtype.
        teacher: logits [N, classes], any float dtype.

    Raises:
        ModelError: the shapes differ.
    """
    return comparable(student, teacher, "logits", "both must have been trained on the same classes")
