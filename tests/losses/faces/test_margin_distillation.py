from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.margin_distillation import MarginDistillation
from facekd.types import BatchContext, DatasetSize, ModelOutput

NAME = MarginDistillation.name
LABELS = torch.tensor([0, 1, 1, 2, 0, 3])
SIZE = DatasetSize(6, 5)


def make_output(seed: int) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    return ModelOutput(torch.randn(6, 7, generator=generator, dtype=torch.float64, requires_grad=True))


def context(progress: float = 0.0) -> BatchContext:
    return BatchContext(LABELS, torch.arange(6), progress)


def pretrained_loss(teacher: ModelOutput, **options: float) -> Loss:
    """Return a loss that was pretrained on all images, in two batches."""
    loss = create_loss(NAME, teacher, teacher, SIZE, **options)
    for rows, progress in ((slice(0, 3), 0.0), (slice(3, 6), 0.5)):
        context = BatchContext(LABELS[rows], torch.arange(6)[rows], progress)
        assert loss.pretrain_loss(ModelOutput(teacher.outputs[rows]), context) is None
    return loss


def truth(student: ModelOutput, teacher: ModelOutput, scale: float, max_margin: float, min_margin: float) -> float:
    student_units, teacher_units = (
        [row / np.linalg.norm(row) for row in output.outputs.detach().numpy()] for output in (student, teacher)
    )
    labels = LABELS.tolist()
    centers = np.zeros((5, 7))
    for row, label in zip(teacher_units, labels, strict=True):
        centers[label] += row
    centers = np.array([row / (np.linalg.norm(row) or 1) for row in centers])
    total = 0.0
    for i, label in enumerate(labels):
        angle = math.acos(min(1.0, teacher_units[i] @ centers[label]))
        margin = max_margin - (max_margin - min_margin) * min(1.0, angle / (math.pi / 2))
        logits = scale * (centers @ student_units[i])
        theta = math.acos(student_units[i] @ centers[label])
        assert theta + margin < math.pi
        logits[label] = scale * math.cos(theta + margin)
        total += float(np.logaddexp.reduce(logits) - logits[label]) / len(labels)
    return total


@pytest.mark.parametrize(("scale", "max_margin", "min_margin"), [(64.0, 0.5, 0.2), (16.0, 0.5, 0.0), (30.0, 0.4, 0.4)])
def test_it_is_the_margin_cross_entropy_with_a_margin_for_each_image(
    scale: float, max_margin: float, min_margin: float
) -> None:
    student, teacher = make_output(0), make_output(1)
    loss = pretrained_loss(teacher, scale=scale, max_margin=max_margin, min_margin=min_margin)
    result = float(loss(student, teacher, context()).detach())
    assert result == pytest.approx(truth(student, teacher, scale, max_margin, min_margin), rel=1e-8)


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = make_output(0), make_output(1)
    loss = pretrained_loss(teacher)
    longer = ModelOutput(student.outputs * torch.arange(1, 7)[:, None]), ModelOutput(teacher.outputs * 30)
    torch.testing.assert_close(loss(*longer, context()), loss(student, teacher, context()))


def test_before_pretraining_the_batch_gives_its_own_centers() -> None:
    student, teacher = make_output(0), make_output(1)
    fresh = create_loss(NAME, student, teacher, SIZE)
    pretrained = pretrained_loss(teacher)
    torch.testing.assert_close(fresh(student, teacher, context()), pretrained(student, teacher, context()))


def test_new_pretraining_replaces_the_centers() -> None:
    loss = pretrained_loss(make_output(5))
    loss.pretrain_loss(make_output(1), context())
    for key, value in pretrained_loss(make_output(1)).state_dict().items():
        torch.testing.assert_close(loss.state_dict()[key], value)


def test_following_batches_leave_the_centers_alone() -> None:
    loss = pretrained_loss(make_output(1))
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    loss(make_output(0), make_output(2), context()).backward()
    assert all(torch.equal(loss.state_dict()[key], value) for key, value in before.items())


def test_the_centers_are_kept_with_the_state() -> None:
    loss, other = pretrained_loss(make_output(1)), create_loss(NAME, make_output(0), make_output(1), SIZE)
    other.load_state_dict(loss.state_dict())
    outputs = make_output(0), make_output(2)
    assert torch.equal(other(*outputs, context()), loss(*outputs, context()))


def test_steps_down_its_gradient_bring_the_student_to_the_centers() -> None:
    teacher, loss = make_output(1), pretrained_loss(make_output(1))
    outputs = make_output(0).outputs.detach().requires_grad_()
    optimizer = torch.optim.SGD([outputs], lr=0.2)
    for _ in range(30):
        optimizer.zero_grad()
        loss(ModelOutput(outputs), teacher, context()).backward()
        optimizer.step()
    assert float(loss(ModelOutput(outputs), teacher, context()).detach()) < 0.05


def test_one_epoch_of_pretraining_is_the_default() -> None:
    assert create_loss(NAME, make_output(0), make_output(1), SIZE).pretrain_epochs == 1


@pytest.mark.parametrize(("options", "text"), [
    ({"scale": 0.0}, "scale must be above 0"),
    ({"max_margin": 1.6}, "margin below pi/2"),
    ({"min_margin": 0.6}, "min_margin is 0.6 and max_margin 0.5: give max_margin the larger margin"),
])
def test_options_it_cannot_work_with_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_loss(NAME, make_output(0), make_output(1), SIZE, **options)


def test_embeddings_of_another_width_are_refused() -> None:
    loss = create_loss(NAME, make_output(0), make_output(1), SIZE)
    narrow = ModelOutput(torch.zeros(6, 3))
    with pytest.raises(ModelError, match="create a new loss for this teacher"):
        loss(narrow, narrow, context())
