"""Conversion and checks of a student's and a teacher's tensor before they are compared."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError


def compute_dtype(sample: Tensor) -> torch.dtype:
    """Return float32, or float64 for a float64 sample; samples taken under autocast may be bfloat16."""
    return torch.promote_types(sample.dtype, torch.float32)


def promote(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Convert both tensors to float32, or to float64 where one of them is, and detach the teacher's; any shapes."""
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    return student.to(dtype), teacher.detach().to(dtype)


def check_comparable(student: Tensor, teacher: Tensor, name: str, remedy: str) -> tuple[Tensor, Tensor]:
    """Convert both tensors as ``promote`` does, and refuse unequal shapes.

    Unequal shapes would otherwise be broadcast to a meaningless number.

    Args:
        student: float, any shape.
        teacher: float, the same shape.
        name: the plural name of the tensors in the error message, e.g. "logits".
        remedy: the end of the error message.

    Returns:
        Both in float32, or in float64 where one of them is, whatever dtype autocast gave them; the teacher's detached.

    Raises:
        ModelError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ModelError(f"student {name} are {list(student.shape)} and the teacher's {list(teacher.shape)}: {remedy}")
    return promote(student, teacher)
