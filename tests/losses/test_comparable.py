from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.comparable import check_comparable, compute_dtype, promote


@pytest.mark.parametrize(("dtype", "result"), [
    (torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float32, torch.float32),
    (torch.float64, torch.float64),
])
def test_losses_compute_in_float32_or_better(dtype: torch.dtype, result: torch.dtype) -> None:
    assert compute_dtype(torch.zeros(1, dtype=dtype)) == result


@pytest.mark.parametrize(("student", "teacher", "result"), [
    (torch.bfloat16, torch.float16, torch.float32), (torch.float32, torch.float64, torch.float64),
    (torch.float64, torch.bfloat16, torch.float64),
])
def test_both_get_the_better_dtype_and_the_teacher_leaves_the_graph(
    student: torch.dtype, teacher: torch.dtype, result: torch.dtype
) -> None:
    inputs = (torch.ones(2, 3, dtype=student, requires_grad=True), torch.ones(4, dtype=teacher, requires_grad=True))
    outputs = promote(*inputs)
    assert [output.dtype for output in outputs] == [result, result]
    assert [output.requires_grad for output in outputs] == [True, False]


def test_equal_shapes_are_promoted() -> None:
    student, teacher = check_comparable(torch.ones(2, 3).bfloat16(), torch.zeros(2, 3), "logits", "do something")
    assert student.dtype == torch.float32 and torch.equal(student, torch.ones(2, 3)) and not teacher.any()


@pytest.mark.parametrize("shape", [(2, 4), (2, 1), (1, 3), (3,)])
def test_unequal_shapes_are_refused_not_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"student logits are \[2, 3\] and the teacher's \[.*\]: do something"):
        check_comparable(torch.zeros(2, 3), torch.zeros(shape), "logits", "do something")
