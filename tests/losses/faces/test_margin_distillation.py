from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.margin_distillation import MarginDistillation
from facekd.types import Answer, Question, Size

NAME = MarginDistillation.name
LABELS = torch.tensor([0, 1, 1, 2, 0, 3])
SIZE = Size(6, 5)


def answer(seed: int) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    return Answer(torch.randn(6, 7, generator=generator, dtype=torch.float64, requires_grad=True))


def question(done: float = 0.0) -> Question:
    return Question(LABELS, torch.arange(6), done)


def taught(teacher: Answer, **options: float) -> Loss:
    """A loss that has seen all images in two batches of a lesson."""
    loss = create_loss(NAME, teacher, teacher, SIZE, **options)
    for part, done in ((slice(0, 3), 0.0), (slice(3, 6), 0.5)):
        asked = Question(LABELS[part], torch.arange(6)[part], done)
        assert loss.lesson(Answer(teacher.outputs[part]), asked) is None
    return loss


def truth(student: Answer, teacher: Answer, scale: float, most: float, least: float) -> float:
    own, target = ([row / np.linalg.norm(row) for row in a.outputs.detach().numpy()] for a in (student, teacher))
    labels = LABELS.tolist()
    centres = np.zeros((5, 7))
    for row, label in zip(target, labels, strict=True):
        centres[label] += row
    centres = np.array([row / (np.linalg.norm(row) or 1) for row in centres])
    total = 0.0
    for i, label in enumerate(labels):
        angle = math.acos(min(1.0, target[i] @ centres[label]))
        margin = most - (most - least) * min(1.0, angle / (math.pi / 2))
        logits = scale * (centres @ own[i])
        theta = math.acos(own[i] @ centres[label])
        assert theta + margin < math.pi
        logits[label] = scale * math.cos(theta + margin)
        total += float(np.logaddexp.reduce(logits) - logits[label]) / len(labels)
    return total


@pytest.mark.parametrize(("scale", "most", "least"), [(64.0, 0.5, 0.2), (16.0, 0.5, 0.0), (30.0, 0.4, 0.4)])
def test_it_is_the_margin_cross_entropy_with_a_margin_for_each_image(scale: float, most: float, least: float) -> None:
    student, teacher = answer(0), answer(1)
    loss = taught(teacher, scale=scale, most=most, least=least)
    found = float(loss(student, teacher, question()).detach())
    assert found == pytest.approx(truth(student, teacher, scale, most, least), rel=1e-8)


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = answer(0), answer(1)
    loss = taught(teacher)
    longer = Answer(student.outputs * torch.arange(1, 7)[:, None]), Answer(teacher.outputs * 30)
    torch.testing.assert_close(loss(*longer, question()), loss(student, teacher, question()))


def test_before_any_lesson_the_batch_gives_its_own_centres() -> None:
    student, teacher = answer(0), answer(1)
    fresh = create_loss(NAME, student, teacher, SIZE)
    torch.testing.assert_close(fresh(student, teacher, question()), taught(teacher)(student, teacher, question()))


def test_a_new_lesson_replaces_the_centres() -> None:
    loss = taught(answer(5))
    loss.lesson(answer(1), question())
    for key, kept in taught(answer(1)).state_dict().items():
        torch.testing.assert_close(loss.state_dict()[key], kept)


def test_following_batches_leave_the_centres_alone() -> None:
    loss = taught(answer(1))
    before = {key: kept.clone() for key, kept in loss.state_dict().items()}
    loss(answer(0), answer(2), question()).backward()
    assert all(torch.equal(loss.state_dict()[key], kept) for key, kept in before.items())


def test_the_centres_are_kept_with_the_state() -> None:
    loss, other = taught(answer(1)), create_loss(NAME, answer(0), answer(1), SIZE)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(answer(0), answer(2), question()), loss(answer(0), answer(2), question()))


def test_steps_down_its_gradient_bring_the_student_to_the_centres() -> None:
    teacher, loss = answer(1), taught(answer(1))
    outputs = answer(0).outputs.detach().requires_grad_()
    optimizer = torch.optim.SGD([outputs], lr=0.2)
    for _ in range(30):
        optimizer.zero_grad()
        loss(Answer(outputs), teacher, question()).backward()
        optimizer.step()
    assert float(loss(Answer(outputs), teacher, question()).detach()) < 0.05


def test_one_epoch_of_lessons_is_asked_for() -> None:
    assert create_loss(NAME, answer(0), answer(1), SIZE).lessons == 1


@pytest.mark.parametrize(("options", "text"), [
    ({"scale": 0.0}, "scale must be above 0"),
    ({"most": 1.6}, "margin below pi/2"),
    ({"least": 0.6}, "least is 0.6 and most 0.5: give most the larger margin"),
])
def test_options_it_cannot_work_with_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        create_loss(NAME, answer(0), answer(1), SIZE, **options)


def test_embeddings_of_another_width_are_refused() -> None:
    loss = create_loss(NAME, answer(0), answer(1), SIZE)
    narrow = Answer(torch.zeros(6, 3))
    with pytest.raises(ModelError, match="make a new loss for this teacher"):
        loss(narrow, narrow, question())
