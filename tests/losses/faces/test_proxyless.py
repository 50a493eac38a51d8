from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.proxyless import Proxyless
from facekd.types import BatchContext, DatasetSize, ModelOutput

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
SIZE = DatasetSize(images=8, classes=4)


def batch(rows: slice, progress: float = 0.5) -> tuple[ModelOutput, ModelOutput, BatchContext]:
    generator = torch.Generator().manual_seed(5)
    teacher = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    student = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    context = BatchContext(LABELS[rows], torch.arange(8)[rows], progress)
    return ModelOutput(student[rows]), ModelOutput(teacher[rows]), context


def make(**options: float) -> Loss:
    return create_loss(Proxyless.name, *batch(slice(2))[:2], SIZE, **options)


def pretrained_loss(**options: float) -> Loss:
    """Return a loss after one epoch of pretraining in two batches."""
    loss = make(**options)
    for progress, rows in ((0.0, slice(3)), (0.5, slice(3, 8))):
        _, teacher, context = batch(rows, progress)
        assert loss.pretrain_loss(teacher, context) is None
    return loss


def truth(student: Tensor, labels: Tensor, scale: float, margin: float) -> float:
    """Return the loss against the means of the unit embeddings of the full set."""
    t = batch(slice(8))[1].outputs.numpy()
    units = [row / np.linalg.norm(row) for row in t]
    total = 0.0
    for s, label in zip(student.numpy(), labels.tolist(), strict=True):
        thetas = []
        for identity in range(4):
            mean = np.mean([unit for i, unit in enumerate(units) if LABELS[i] == identity], axis=0)
            thetas.append(math.acos(s @ mean / np.linalg.norm(s) / np.linalg.norm(mean)))
        logits = scale * np.cos(thetas)
        theta = thetas[label]
        beyond = theta + margin > math.pi
        logits[label] = scale * (math.cos(theta) + math.cos(margin) - 1 if beyond else math.cos(theta + margin))
        total += float(np.logaddexp.reduce(logits) - logits[label])
    return total / len(labels)


@pytest.mark.parametrize(("scale", "margin"), [(64.0, 0.5), (16.0, 0.2)])
def test_it_is_arcface_against_the_means_that_pretraining_found(scale: float, margin: float) -> None:
    student, teacher, context = batch(slice(1, 6))
    exact = truth(student.outputs, context.labels, scale, margin)
    loss = pretrained_loss(scale=scale, margin=margin)
    assert float(loss(student, teacher, context)) == pytest.approx(exact, rel=1e-9)


def test_after_pretraining_the_teachers_output_of_the_batch_has_no_effect() -> None:
    student, teacher, context = batch(slice(8))
    loss = pretrained_loss()
    assert torch.equal(loss(student, ModelOutput(-teacher.outputs), context), loss(student, teacher, context))


def test_new_pretraining_forgets_the_last_teacher() -> None:
    loss, fresh = pretrained_loss(), make()
    other = ModelOutput(torch.ones(4, 6, dtype=torch.float64).tril())
    context = BatchContext(torch.arange(4), torch.arange(4), 0.0)
    for one in (loss, fresh):
        one.pretrain_loss(other, context)
    assert torch.equal(loss(*batch(slice(8))), fresh(*batch(slice(8))))


def test_before_pretraining_the_means_of_the_batch_are_used() -> None:
    full_batch = batch(slice(8))
    torch.testing.assert_close(make()(*full_batch), pretrained_loss()(*full_batch))


def test_it_needs_one_epoch_of_pretraining_and_trains_nothing() -> None:
    loss = make()
    assert loss.pretrain_epochs == 1.0 and make(pretrain_epochs=2.0).pretrain_epochs == 2.0
    assert list(loss.parameters()) == []


def test_its_state_round_trips() -> None:
    fresh = make()
    fresh.load_state_dict(pretrained_loss().state_dict())
    assert torch.equal(fresh(*batch(slice(3))), pretrained_loss()(*batch(slice(3))))


def test_bad_options_and_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="loss proxyless-ours: scale must be above 0"):
        make(scale=0.0)
    student, teacher, context = batch(slice(8))
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(ModelOutput(student.outputs[:, :4]), teacher, context)
