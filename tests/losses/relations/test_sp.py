from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses.relations.sp import similarity_preserving
from facekd.types import ModelOutput
from tests.losses.samples import compute_loss, features


def truth(student: Tensor, teacher: Tensor) -> float:
    """The paper's section 3 by loops over pairs of images."""
    rows = []
    for batch in (student.double().numpy(), teacher.double().numpy()):
        gram = np.array([[float((one * other).sum()) for other in batch] for one in batch])
        rows.append([row / np.sqrt((row**2).sum()) for row in gram])
    b = len(student)
    return float(sum((rows[0][i][j] - rows[1][i][j]) ** 2 for i in range(b) for j in range(b)) / b**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_formula_for_maps_of_any_size(dtype: torch.dtype) -> None:
    student, teacher = features(5, 3, 4, 4, dtype=dtype), features(5, 7, 2, 2, seed=1, dtype=dtype)
    assert float(similarity_preserving(student, teacher)) == pytest.approx(truth(student, teacher), rel=1e-4)


def test_the_last_map_is_the_one_that_counts() -> None:
    outputs = features(5, 2)
    student = ModelOutput(outputs, (features(5, 2, 8, 8), features(5, 3, 4, 4)))
    shallow = features(5, 2, 8, 8, seed=3), features(5, 3, 8, 8, seed=2)
    teacher = ModelOutput(outputs, (*shallow, features(5, 7, 2, 2, seed=1)))
    result = compute_loss("sp", student, teacher)
    assert float(result) == pytest.approx(truth(student.feature_maps[-1], teacher.feature_maps[-1]), rel=1e-9)


def test_scale_order_of_elements_and_order_of_images_change_nothing() -> None:
    student, teacher = features(6, 3, 2, 2), features(6, 4, 2, 2, seed=1)
    first, shuffled = similarity_preserving(student, teacher), torch.tensor([4, 0, 5, 2, 1, 3])
    torch.testing.assert_close(similarity_preserving(3 * student.flip(1, 2), teacher / 7), first)
    torch.testing.assert_close(similarity_preserving(student[shuffled], teacher[shuffled]), first)


def test_a_rotation_of_the_teacher_costs_nothing() -> None:
    teacher = features(6, 3, 2, 2)
    rotation = torch.linalg.qr(features(12, 12, seed=4)).Q
    assert float(similarity_preserving((teacher.flatten(1) @ rotation).view(6, 3, 2, 2), teacher)) < 1e-25


def test_maps_of_zeros_leave_value_and_gradient_finite() -> None:
    student, teacher = features(4, 3, 2, 2), features(4, 3, 2, 2, seed=1)
    student[0], teacher[1] = 0, 0
    student.requires_grad_()
    value = similarity_preserving(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool(value.isfinite()) and bool(gradient.isfinite().all())


def test_another_batch_is_refused() -> None:
    with pytest.raises(ModelError, match="student feature maps are of 4 images and the teacher's of 1"):
        similarity_preserving(features(4, 3, 2, 2), features(1, 3, 2, 2))
