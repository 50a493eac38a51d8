from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.proxyless import Proxyless
from facekd.types import Answer, Question, Size

LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
SIZE = Size(images=8, classes=4)


def batch(places: slice, done: float = 0.5) -> tuple[Answer, Answer, Question]:
    generator = torch.Generator().manual_seed(5)
    teacher = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    student = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    return Answer(student[places]), Answer(teacher[places]), Question(LABELS[places], torch.arange(8)[places], done)


def make(**options: float) -> Loss:
    return create_loss(Proxyless.name, *batch(slice(2))[:2], SIZE, **options)


def taught(**options: float) -> Loss:
    """After one epoch in two batches."""
    loss = make(**options)
    for done, places in ((0.0, slice(3)), (0.5, slice(3, 8))):
        _, teacher, question = batch(places, done)
        assert loss.lesson(teacher, question) is None
    return loss


def truth(student: Tensor, labels: Tensor, scale: float, margin: float) -> float:
    """Against the mean of the unit embeddings of the whole set."""
    t = batch(slice(8))[1].outputs.numpy()
    units = [row / np.linalg.norm(row) for row in t]
    total = 0.0
    for s, label in zip(student.numpy(), labels.tolist(), strict=True):
        thetas = []
        for person in range(4):
            mean = np.mean([row for row, of in zip(units, LABELS.tolist(), strict=True) if of == person], axis=0)
            thetas.append(math.acos(s @ mean / np.linalg.norm(s) / np.linalg.norm(mean)))
        logits = scale * np.cos(thetas)
        own = thetas[label]
        beyond = own + margin > math.pi
        logits[label] = scale * (math.cos(own) + math.cos(margin) - 1 if beyond else math.cos(own + margin))
        total += float(np.logaddexp.reduce(logits) - logits[label])
    return total / len(labels)


@pytest.mark.parametrize(("scale", "margin"), [(64.0, 0.5), (16.0, 0.2)])
def test_it_is_arcface_against_the_means_that_the_lesson_found(scale: float, margin: float) -> None:
    student, teacher, question = batch(slice(1, 6))
    exact = truth(student.outputs, question.labels, scale, margin)
    loss = taught(scale=scale, margin=margin)
    assert float(loss(student, teacher, question)) == pytest.approx(exact, rel=1e-9)


def test_after_the_lesson_the_batchs_teacher_says_nothing_more() -> None:
    student, teacher, question = batch(slice(8))
    loss = taught()
    assert torch.equal(loss(student, Answer(-teacher.outputs), question), loss(student, teacher, question))


def test_a_new_lesson_forgets_the_last_teacher() -> None:
    loss, fresh = taught(), make()
    other = Answer(torch.ones(4, 6, dtype=torch.float64).tril())
    question = Question(torch.arange(4), torch.arange(4), 0.0)
    for one in (loss, fresh):
        one.lesson(other, question)
    assert torch.equal(loss(*batch(slice(8))), fresh(*batch(slice(8))))


def test_before_a_lesson_the_batchs_own_means_stand_in() -> None:
    whole = batch(slice(8))
    torch.testing.assert_close(make()(*whole), taught()(*whole))


def test_it_asks_for_one_epoch_of_lessons_and_trains_nothing() -> None:
    loss = make()
    assert loss.lessons == 1.0 and make(lessons=2.0).lessons == 2.0
    assert list(loss.parameters()) == []


def test_its_state_round_trips() -> None:
    fresh = make()
    fresh.load_state_dict(taught().state_dict())
    assert torch.equal(fresh(*batch(slice(3))), taught()(*batch(slice(3))))


def test_bad_options_and_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="loss proxyless-ours: scale must be above 0"):
        make(scale=0.0)
    student, teacher, question = batch(slice(8))
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(Answer(student.outputs[:, :4]), teacher, question)
