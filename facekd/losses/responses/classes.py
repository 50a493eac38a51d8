"""Checks that the losses of logits share: a valid temperature, and the same classes in both networks."""

from __future__ import annotations

from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable


def check_temperature(loss: str, temperature: float) -> None:
    """Raise a ModelError unless a temperature is above 0.

    Args:
        loss: the name of the loss, for the error message.
        temperature: T, which divides logits.
    """
    if temperature <= 0:
        raise ModelError(f"loss {loss}: temperature must be above 0, not {temperature}")


def check_same_classes(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Convert logits as ``check_comparable`` does: float32 or better, the teacher's detached.

    Args:
        student: logits [N, classes], any float dtype.
        teacher: logits [N, classes], any float dtype.

    Raises:
        ModelError: the shapes differ.
    """
    return check_comparable(student, teacher, "logits", "both must have been trained on the same classes")
