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
from facekd.types import Answer, Question, Size

LABELS = [2, 0, 2, 3, 2]
QUESTION = Question(torch.tensor(LABELS), torch.arange(5))
SIZE = Size(images=9, classes=5)


def answers(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Answer, Answer]:
    """The student is near the teacher, so that shares kept are above the least one."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(5, 6, generator=generator, dtype=torch.float64) + 1
    student = teacher + 0.5 * torch.randn(5, 6, generator=generator, dtype=torch.float64)
    return Answer(3 * student.to(dtype)), Answer(teacher.to(dtype))


def make(seed: int = 1, **options: Any) -> Loss:
    torch.manual_seed(seed)
    return create_loss(AdaDistill.name, *answers(), SIZE, **options)


def centres_of(loss: Loss) -> Tensor:
    centres: Tensor = loss.state_dict()["centres"]
    return centres.clone()


def cos(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def moved(centres: Tensor, student: Answer, teacher: Answer) -> NDArray[np.float64]:
    """The centres after a batch."""
    old, s, t = centres.numpy(), student.outputs.detach().numpy(), teacher.outputs.numpy()
    new = old.copy()
    for person in set(LABELS):
        made = []
        for i in (i for i, label in enumerate(LABELS) if label == person):
            share = min(max(cos(s[i], t[i]) * cos(old[person], t[i]), 1e-6), 1)
            made.append(share * old[person] + (1 - share) * t[i] / np.linalg.norm(t[i]))
        new[person] = np.mean(made, axis=0)
    return new


@pytest.mark.parametrize(("head", "margin"), [("arcface", 0.45), ("cosface", 0.35)])
def test_it_is_the_margin_softmax_against_the_moved_centres(head: str, margin: float) -> None:
    loss, (student, teacher) = make(head=head), answers()
    centres = moved(centres_of(loss), student, teacher)
    total = 0.0
    for i, label in enumerate(LABELS):
        thetas = [math.acos(cos(student.outputs[i].numpy(), centre)) for centre in centres]
        logits = 64 * np.cos(thetas)
        own = thetas[label]
        logits[label] = 64 * (math.cos(own + margin) if head == "arcface" else math.cos(own) - margin)
        total += float(np.logaddexp.reduce(logits) - logits[label])
    assert float(loss(student, teacher, QUESTION)) == pytest.approx(total / 5, rel=1e-9)


def test_centres_move_by_the_formula_and_by_the_mean_of_a_persons_images() -> None:
    loss = make()
    for seed in range(3):
        student, teacher = answers(seed)
        exact = moved(centres_of(loss), student, teacher)
        loss(student, teacher, QUESTION)
        np.testing.assert_allclose(centres_of(loss).numpy(), exact, rtol=1e-9)


def test_a_person_not_in_the_batch_stays() -> None:
    loss = make()
    before = centres_of(loss)
    loss(*answers(), QUESTION)
    assert torch.equal(centres_of(loss)[[1, 4]], before[[1, 4]])


def test_a_student_at_a_right_angle_is_compared_with_the_teachers_embedding_of_the_very_image() -> None:
    loss, (student, teacher) = make(), answers()
    target = functional.normalize(teacher.outputs)
    weak = student.outputs - (student.outputs * target).sum(dim=1, keepdim=True) * target
    loss(Answer(weak), teacher, QUESTION)
    torch.testing.assert_close(centres_of(loss)[[0, 3]], target[[1, 3]], rtol=0, atol=1e-5)


@pytest.mark.parametrize("how", ["evaluation", "no gradient"])
def test_centres_stand_still_where_nothing_is_trained(how: str) -> None:
    loss = make().train(how != "evaluation")
    before = centres_of(loss)
    with torch.set_grad_enabled(how != "no gradient"):
        loss(*answers(), QUESTION)
    assert torch.equal(centres_of(loss), before)


def test_the_student_gets_the_gradient_of_standing_centres() -> None:
    loss, (student, teacher) = make(), answers()
    leaf = student.outputs.requires_grad_()
    (training,) = torch.autograd.grad(loss(student, teacher, QUESTION), leaf)
    still = copy.deepcopy(loss).eval()
    (standing,) = torch.autograd.grad(still(student, teacher, QUESTION), leaf)
    torch.testing.assert_close(training, standing)
    assert torch.autograd.gradcheck(lambda s: still(Answer(s), teacher, QUESTION), (leaf,))


def test_centres_begin_as_unit_rows_of_the_global_seed() -> None:
    first = centres_of(make())
    torch.testing.assert_close(first.norm(dim=1), torch.ones(5, dtype=torch.float64))
    assert torch.equal(first, centres_of(make())) and not torch.equal(first, centres_of(make(seed=2)))


def test_its_state_round_trips() -> None:
    loss, fresh = make(), make(seed=2)
    loss(*answers(), QUESTION)
    fresh.load_state_dict(loss.state_dict())
    assert torch.equal(fresh(*answers(3), QUESTION), loss(*answers(3), QUESTION))


@pytest.mark.parametrize(("options", "text"), [
    ({"head": "softmax"}, "head must be one of arcface, cosface, not 'softmax'"),
    ({"scale": 0}, "scale must be above 0"),
    ({"margin": 2}, "margin below pi/2"),
])
def test_a_bad_option_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        make(**options)


def test_embeddings_of_other_sizes_are_refused() -> None:
    student, teacher = answers()
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(Answer(student.outputs[:, :4]), teacher, QUESTION)
    with pytest.raises(ModelError, match="make a new one for this teacher"):
        make()(Answer(student.outputs[:, :4]), Answer(teacher.outputs[:, :4]), QUESTION)
