"""What every loss does first with the two tensors that it compares."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError


def exact(sample: Tensor) -> torch.dtype:
    """Float32, or float64 for a float64 sample: a sample taken under autocast is no reason to compute in bfloat16."""
    return torch.promote_types(sample.dtype, torch.float32)


def promoted(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, or in float64 where one of them is, whatever their shapes; the teacher cut from the graph."""
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    return student.to(dtype), teacher.detach().to(dtype)


def comparable(student: Tensor, teacher: Tensor, what: str, remedy: str) -> tuple[Tensor, Tensor]:
    """Both in float32 or better, whatever autocast made of them, and the teacher cut from the graph.

    Equal shapes are demanded because unequal ones would be broadcast into a number that means nothing.

    Args:
        student: float, any shape.
        teacher: float, the same shape.
        what: they are, in the plural, e.g. "logits".
        remedy: the end of the error's sentence.

    Returns:
        Both in float32, or in float64 where one of them is.

    Raises:
        ModelError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ModelError(f"student {what} are {list(student.shape)} and the teacher's {list(teacher.shape)}: {remedy}")
    return promoted(student, teacher)
