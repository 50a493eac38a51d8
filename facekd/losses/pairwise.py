"""Helpers for losses that relate vectors: checks of two batches, Gram matrices, and cosines row by row."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import promote
from facekd.utils.functional import l2_normalize


def check_same_images(student: Tensor, teacher: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Convert both tensors as ``promote`` does, flatten them to one row per image, and refuse unequal batch sizes.

    The rows' lengths may differ, because losses of relations compare rows only within one network.

    Args:
        student: [N, ...], any float dtype; all dimensions but the first are flattened.
        teacher: [N, ...], any float dtype; all dimensions but the first are flattened.
        name: the plural name of the tensors in the error message, e.g. "features".

    Returns:
        [N, D] and [N, E], both in float32, or in float64 where one of them is; the teacher's detached.

    Raises:
        ModelError: the numbers of images differ.
    """
    if len(student) != len(teacher):
        raise ModelError(
            f"student {name} are of {len(student)} images and the teacher's of {len(teacher)}: "
            "show both networks the same batch"
        )
    student, teacher = promote(student, teacher)
    return student.flatten(1), teacher.flatten(1)


def gram_matrix(rows: Tensor) -> Tensor:
    """Return the inner products of all rows with each other, in the rows' dtype even under autocast.

    Relations are small differences of such products, which bfloat16 would round away.

    Args:
        rows: float [..., N, D].

    Returns:
        [..., N, N], symmetric.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ rows.mT


def row_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of each row of one matrix with the same row of another.

    Args:
        first: float [N, D].
        second: float [N, D], same dtype; a zero row gives the cosine 0.

    Returns:
        [N]; rounding may exceed 1 by a few units in the last place.
    """
    return (l2_normalize(first) * l2_normalize(second)).sum(dim=1)
