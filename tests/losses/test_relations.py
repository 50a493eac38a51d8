from __future__ import annotations

import torch

from facekd.losses.relations import products, relatable


def test_products_keep_their_precision_under_autocast() -> None:
    rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = products(rows)
    torch.testing.assert_close(inside.double(), rows.double() @ rows.double().T, rtol=1e-5, atol=1e-5)


def test_both_sides_become_rows_of_one_dtype_and_the_teacher_leaves_the_graph() -> None:
    maps, features = torch.zeros(3, 2, 4, 4, dtype=torch.bfloat16), torch.zeros(3, 7, requires_grad=True)
    student, teacher = relatable(maps, features, "maps")
    assert (student.shape, teacher.shape) == ((3, 32), (3, 7))
    assert student.dtype == teacher.dtype == torch.float32 and not teacher.requires_grad
