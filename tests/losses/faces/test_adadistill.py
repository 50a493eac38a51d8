from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.adadistill import AdaDistill
from facekd.types import BatchContext, DatasetSize, ModelOutput

LABELS = [2, 0, 2, 3, 2]
CONTEXT = BatchContext(torch.tensor(LABELS), torch.arange(5))
SIZE = DatasetSize(images=9, classes=5)


def make_outputs(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[ModelOutput, ModelOutput]:
    """Return outputs of a student that is near its teacher, so that the shares a are above their minimum."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(5, 6, generator=generator, dtype=torch.float64) + 1
    student = teacher + 0.5 * torch.randn(5, 6, generator=generator, dtype=torch.float64)
    return ModelOutput(3 * student.to(dtype)), ModelOutput(teacher.to(dtype))


def make(seed: int = 1, **options: Any) -> Loss:
    torch.manual_seed(seed)
    return create_loss(AdaDistill.name, *make_outputs(), SIZE, **options)


def get_centers(loss: Loss) -> Tensor:
    centers: Tensor = loss.state_dict()["centers"]
    return centers.clone()


def cos(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def expected_centers(centers: Tensor, student: ModelOutput, teacher: ModelOutput) -> NDArray[np.float64]:
    """Return the class centers after a batch."""
    old, s, t = centers.numpy(), student.outputs.detach().numpy(), teacher.outputs.numpy()
    new = old.copy()
    for identity in set(LABELS):
        candidates = []
        for i in (i for i, label in enumerate(LABELS) if label == identity):
            share = min(max(cos(s[i], t[i]) * cos(old[identity], t[i]), 1e-6), 1)
            candidates.append(share * old[identity] + (1 - share) * t[i] / np.linalg.norm(t[i]))
        new[identity] = np.mean(candidates, axis=0)
    return new


@pytest.mark.parametrize(("head", "margin"), [("arcface", 0.45), ("cosface", 0.35)])
def test_it_is_the_margin_softmax_against_the_moved_centers(head: str, margin: float) -> None:
    loss, (student, teacher) = make(head=head), make_outputs()
    centers = expected_centers(get_centers(loss), student, teacher)
    total = 0.0
    for i, label in enumerate(LABELS):
        thetas = [math.acos(cos(student.outputs[i].numpy(), center)) for center in centers]
        logits = 64 * np.cos(thetas)
        theta = thetas[label]
        logits[label] = 64 * (math.cos(theta + margin) if head == "arcface" else math.cos(theta) - margin)
        total += float(np.logaddexp.reduce(logits) - logits[label])
    assert float(loss(student, teacher, CONTEXT)) == pytest.approx(total / 5, rel=1e-9)


def test_centers_move_by_the_formula_and_by_the_mean_of_an_identitys_images() -> None:
    loss = make()
    for seed in range(3):
        student, teacher = make_outputs(seed)
        exact = expected_centers(get_centers(loss), student, teacher)
        loss(student, teacher, CONTEXT)
        np.testing.assert_allclose(get_centers(loss).numpy(), exact, rtol=1e-9)


def test_the_center_of_an_identity_not_in_the_batch_stays() -> None:
    loss = make()
    before = get_centers(loss)
    loss(*make_outputs(), CONTEXT)
    assert torch.equal(get_centers(loss)[[1, 4]], before[[1, 4]])


def test_a_student_at_a_right_angle_is_compared_with_the_teachers_embedding_of_the_very_image() -> None:
    loss, (student, teacher) = make(), make_outputs()
    target = functional.normalize(teacher.outputs)
    weak = student.outputs - (student.outputs * target).sum(dim=1, keepdim=True) * target
    loss(ModelOutput(weak), teacher, CONTEXT)
    torch.testing.assert_close(get_centers(loss)[[0, 3]], target[[1, 3]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", ["evaluation", "no gradient"])
def test_centers_are_constant_where_nothing_is_trained(how: str) -> None:
    loss = make().train(how != "evaluation")
    before = get_centers(loss)
    with torch.set_grad_enabled(how != "no gradient"):
        loss(*make_outputs(), CONTEXT)
    assert torch.equal(get_centers(loss), before)


def test_the_student_gets_the_gradient_of_constant_centers() -> None:
    loss, (student, teacher) = make(), make_outputs()
    leaf = student.outputs.requires_grad_()
    (training,) = torch.autograd.grad(loss(student, teacher, CONTEXT), leaf)
    still = copy.deepcopy(loss).eval()
    (standing,) = torch.autograd.grad(still(student, teacher, CONTEXT), leaf)
    torch.testing.assert_close(training, standing)
    assert torch.autograd.gradcheck(lambda s: still(ModelOutput(s), teacher, CONTEXT), (leaf,))


def test_centers_begin_as_unit_rows_of_the_global_seed() -> None:
    first = get_centers(make())
    torch.testing.assert_close(first.norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.equal(first, get_centers(make())) and not torch.equal(first, get_centers(make(seed=2)))


def test_its_state_round_trips() -> None:
    loss, fresh = make(), make(seed=2)
    loss(*make_outputs(), CONTEXT)
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh(*make_outputs(3), CONTEXT), loss(*make_outputs(3), CONTEXT))


@pytest.mark.parametrize(("options", "text"), [
    ({"head": "softmax"}, "head must be one of arcface, cosface, not 'softmax'"),
    ({"scale": 0}, "scale must be above 0"),
    ({"margin": 2}, "margin below pi/2"),
])
def test_a_bad_option_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make(**options)


def test_embeddings_of_other_sizes_are_refused() -> None:
    student, teacher = make_outputs()
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(ModelOutput(student.outputs[:, :4]), teacher, CONTEXT)
    with pytest.raises(ModelError, match="create a new loss for this teacher"):
        make()(ModelOutput(student.outputs[:, :4]), ModelOutput(teacher.outputs[:, :4]), CONTEXT)
