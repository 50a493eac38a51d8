"""Embedding mimicking: distances between a student's and a teacher's embeddings of the same images.

Sources: FitNets' L2 on the embedding as face distillation uses it, and Route Constrained Optimization (Jin et al.,
ICCV 2019), which takes the teacher from an anchor of its route. The teacher receives no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.vectors import unit


def l2(student: Tensor, teacher: Tensor, normalize: bool = False) -> Tensor:
    """Mean over the batch of the squared distance ||t - s||^2, summed over the dimensions.

    Args:
        student: [N, D], any float dtype.
        teacher: [N, D], any float dtype.
        normalize: scale both to unit length first; the loss then is 2 - 2 cos.

    Returns:
        A scalar in float32, or in float64 where an input is.

    Raises:
        ModelError: the shapes differ.
    """
    student, teacher = _ready(student, teacher)
    if normalize:
        student, teacher = unit(student), unit(teacher)
    return (teacher - student).square().sum(dim=1).mean()


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of 1 - cos(s, t); arguments, result and errors as ``l2``."""
    student, teacher = _ready(student, teacher)
    return (1 - (unit(student) * unit(teacher)).sum(dim=1)).mean()


def _ready(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 or better, whatever autocast made of them, and the teacher cut from the graph."""
    if student.shape != teacher.shape or student.ndim != 2:
        raise ModelError(
            f"student embeddings are {list(student.shape)} and the teacher's {list(teacher.shape)}: "
            "give both the same size, or the student a projection"
        )
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    return student.to(dtype), teacher.detach().to(dtype)
