"""What the losses of relations share: two sets of rows to be related each within itself, and inner products of rows."""

from __future__ import annotations

import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.comparable import promoted


def relatable(student: Tensor, teacher: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Both in float32 or better as rows, and the teacher cut from the graph.

    Unlike in ``comparable`` the rows' lengths may differ, because rows are only compared with others of their own set.

    Args:
        student: float [N, ...], any float dtype; all but the first dimension are flattened.
        teacher: float [N, ...], likewise.
        what: they are, in the plural, e.g. "features".

    Returns:
        [N, D] and [N, E], both in float32, or in float64 where one of them is.

    Raises:
        ModelError: the numbers of images differ.
    """
    if len(student) != len(teacher):
        raise ModelError(
            f"student {what} are of {len(student)} images and the teacher's of {len(teacher)}: "
            "show both networks the same batch"
        )
    student, teacher = promoted(student, teacher)
    return student.flatten(1), teacher.flatten(1)


def products(rows: Tensor) -> Tensor:
    """Inner products of all rows with each other, in the rows' own precision even under autocast.

    Relations are small differences of such products, which bfloat16 would round away.

    Args:
        rows: float [..., N, D].

    Returns:
        [..., N, N], symmetric.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return rows @ rows.mT
