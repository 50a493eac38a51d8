from __future__ import annotations

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses.pairwise import check_same_images, gram_matrix, row_cosines
from tests.losses.samples import features, loss_of_features


def test_products_keep_their_precision_under_autocast() -> None:
    rows = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = gram_matrix(rows)
    torch.testing.assert_close(inside.double(), rows.double() @ rows.double().T, rtol=1e-5, atol=1e-5)


def test_both_sides_become_rows_of_one_dtype_and_the_teacher_leaves_the_graph() -> None:
    maps, features = torch.zeros(3, 2, 4, 4, dtype=torch.bfloat16), torch.zeros(3, 7, requires_grad=True)
    student, teacher = check_same_images(maps, features, "maps")
    assert (student.shape, teacher.shape) == ((3, 32), (3, 7))
    assert student.dtype == teacher.dtype == torch.float32 and not teacher.requires_grad


def test_cosines_of_rows_are_those_of_the_formula_and_0_with_a_zero_row() -> None:
    first, second = features(4, 5), features(4, 5, seed=1)
    first[2] = 0
    pairs = zip(first.numpy(), second.numpy(), strict=True)
    truth = [float(a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-9) for a, b in pairs]
    np.testing.assert_allclose(row_cosines(first, second).numpy(), truth, rtol=1e-12)


@pytest.mark.parametrize("name", ["cc", "pkt", "rkd"])
def test_another_batch_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="student features are of 4 images and the teacher's of 1"):
        loss_of_features(name, features(4, 3), features(1, 3))


@pytest.mark.parametrize("name", ["cc", "pkt"])
def test_scale_of_each_image_rotation_and_order_change_nothing(name: str) -> None:
    student, teacher = features(6, 5), features(6, 8, seed=1)
    first, shuffled = loss_of_features(name, student, teacher), torch.tensor([4, 0, 5, 2, 1, 3])
    rotation, scale = torch.linalg.qr(features(5, 5, seed=2)).Q, torch.arange(1.0, 7.0)[:, None]
    torch.testing.assert_close(loss_of_features(name, scale * student @ rotation, teacher / scale), first)
    torch.testing.assert_close(loss_of_features(name, student[shuffled], teacher[shuffled]), first)
