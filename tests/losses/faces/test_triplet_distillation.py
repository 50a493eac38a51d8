from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.faces.triplet_distillation import TripletDistillation
from facekd.types import Answer, Question, Size

NAME = TripletDistillation.name
SIZE = Size(9, 5)
LABELS = [0, 1, 1, 2, 0, 0, 3]


def answer(seed: int) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    return Answer(torch.randn(7, 6, generator=generator, dtype=torch.float64, requires_grad=True))


def value(student: Answer, teacher: Answer, labels: list[int], **options: float) -> torch.Tensor:
    question = Question(torch.tensor(labels), torch.arange(len(labels)))
    found: torch.Tensor = create_loss(NAME, student, teacher, SIZE, **options)(student, teacher, question)
    return found


def distances(rows: torch.Tensor) -> NDArray[np.float64]:
    units = [row / np.linalg.norm(row) for row in rows.detach().numpy()]
    return np.array([[((a - b) ** 2).sum() for b in units] for a in units])


def truth(student: Answer, teacher: Answer, labels: list[int], least: float, most: float) -> float:
    own, target, n = distances(student.outputs), distances(teacher.outputs), len(labels)
    triplets = [(a, p, q) for a in range(n) for p in range(n) for q in range(n)
                if a != p and labels[a] == labels[p] and labels[a] != labels[q]]
    gaps = {(a, p, q): max(0.0, target[a, q] - target[a, p]) for a, p, q in triplets}
    costs = [max(0.0, own[a, p] - own[a, q] + least + (most - least) * gaps[a, p, q] / max(gaps.values()))
             for a, p, q in triplets]
    return sum(costs) / len(costs)


@pytest.mark.parametrize("margins", [(0.2, 0.5), (0.0, 2.0), (0.3, 0.3)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_mean_over_all_triplets(seed: int, margins: tuple[float, float]) -> None:
    student, teacher = answer(seed), answer(seed + 10)
    found = value(student, teacher, LABELS, least=margins[0], most=margins[1])
    assert float(found.detach()) == pytest.approx(truth(student, teacher, LABELS, *margins), rel=1e-10)


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = answer(0), answer(1)
    longer = Answer(student.outputs * torch.arange(1, 8)[:, None]), Answer(teacher.outputs * 30)
    torch.testing.assert_close(value(*longer, LABELS), value(student, teacher, LABELS))


def test_the_gradient_is_that_of_differences() -> None:
    student, teacher = answer(0), answer(1)
    assert torch.autograd.gradcheck(lambda outputs: value(Answer(outputs), teacher, LABELS), student.outputs)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4, 5, 6], [2] * 7])
def test_a_batch_without_triplets_costs_nothing_and_has_a_gradient(labels: list[int]) -> None:
    student = answer(0)
    found = value(student, answer(1), labels)
    found.backward()  # type: ignore[no-untyped-call]
    assert float(found.detach()) == 0
    assert student.outputs.grad is not None and not student.outputs.grad.any()


def test_people_far_enough_apart_cost_nothing() -> None:
    rows = torch.eye(5, dtype=torch.float64)[torch.tensor(LABELS)]
    assert float(value(Answer(rows), Answer(rows), LABELS)) == 0


def test_a_teacher_that_sees_no_gap_asks_for_the_least_margin() -> None:
    same = Answer(torch.ones(7, 6, dtype=torch.float64))
    assert float(value(same, same, LABELS, least=0.3)) == pytest.approx(0.3)


def test_margins_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ModelError, match=r"least is 0\.6 and most 0\.5"):
        value(answer(0), answer(1), LABELS, least=0.6)


def test_embeddings_of_different_widths_are_refused() -> None:
    with pytest.raises(ModelError, match="give the student a projection"):
        value(answer(0), Answer(torch.zeros(7, 5)), LABELS)
