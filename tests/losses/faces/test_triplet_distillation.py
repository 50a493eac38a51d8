from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.losses import create_loss
from facekd.losses.faces.triplet_distillation import TripletDistillation
from facekd.types import BatchContext, DatasetSize, ModelOutput

NAME = TripletDistillation.name
SIZE = DatasetSize(9, 5)
LABELS = [0, 1, 1, 2, 0, 0, 3]


def make_output(seed: int) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    return ModelOutput(torch.randn(7, 6, generator=generator, dtype=torch.float64, requires_grad=True))


def value(student: ModelOutput, teacher: ModelOutput, labels: list[int], **options: float) -> torch.Tensor:
    context = BatchContext(torch.tensor(labels), torch.arange(len(labels)))
    result: torch.Tensor = create_loss(NAME, student, teacher, SIZE, **options)(student, teacher, context)
    return result


def distances(rows: torch.Tensor) -> NDArray[np.float64]:
    units = [row / np.linalg.norm(row) for row in rows.detach().numpy()]
    return np.array([[((a - b) ** 2).sum() for b in units] for a in units])


def truth(student: ModelOutput, teacher: ModelOutput, labels: list[int], min_margin: float, max_margin: float) -> float:
    student_distances, teacher_distances, n = distances(student.outputs), distances(teacher.outputs), len(labels)
    triplets = [(a, p, q) for a in range(n) for p in range(n) for q in range(n)
                if a != p and labels[a] == labels[p] and labels[a] != labels[q]]
    gaps = {(a, p, q): max(0.0, teacher_distances[a, q] - teacher_distances[a, p]) for a, p, q in triplets}
    widest = max(gaps.values())
    margins = {triplet: min_margin + (max_margin - min_margin) * gap / widest for triplet, gap in gaps.items()}
    costs = [max(0.0, student_distances[a, p] - student_distances[a, q] + margins[a, p, q]) for a, p, q in triplets]
    return sum(costs) / len(costs)


@pytest.mark.parametrize("margins", [(0.2, 0.5), (0.0, 2.0), (0.3, 0.3)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_mean_over_all_triplets(seed: int, margins: tuple[float, float]) -> None:
    student, teacher = make_output(seed), make_output(seed + 10)
    result = value(student, teacher, LABELS, min_margin=margins[0], max_margin=margins[1])
    assert float(result.detach()) == pytest.approx(truth(student, teacher, LABELS, *margins), rel=1e-10)


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = make_output(0), make_output(1)
    longer = ModelOutput(student.outputs * torch.arange(1, 8)[:, None]), ModelOutput(teacher.outputs * 30)
    torch.testing.assert_close(value(*longer, LABELS), value(student, teacher, LABELS))


def test_the_gradient_is_that_of_differences() -> None:
    student, teacher = make_output(0), make_output(1)
    assert torch.autograd.gradcheck(lambda outputs: value(ModelOutput(outputs), teacher, LABELS), student.outputs)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4, 5, 6], [2] * 7])
def test_a_batch_without_triplets_costs_nothing_and_has_a_gradient(labels: list[int]) -> None:
    student = make_output(0)
    result = value(student, make_output(1), labels)
    result.backward()  # type: ignore[no-untyped-call]
    assert float(result.detach()) == 0
    assert student.outputs.grad is not None and not student.outputs.grad.any()


def test_identities_far_enough_apart_cost_nothing() -> None:
    rows = torch.eye(5, dtype=torch.float64)[torch.tensor(LABELS)]
    assert float(value(ModelOutput(rows), ModelOutput(rows), LABELS)) == 0


def test_a_teacher_without_a_gap_gives_the_minimum_margin() -> None:
    same = ModelOutput(torch.ones(7, 6, dtype=torch.float64))
    assert float(value(same, same, LABELS, min_margin=0.3)) == pytest.approx(0.3)


def test_margins_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ModelError, match=r"min_margin is 0\.6 and max_margin 0\.5"):
        value(make_output(0), make_output(1), LABELS, min_margin=0.6)


def test_embeddings_of_different_widths_are_refused() -> None:
    with pytest.raises(ModelError, match="give the student a projection"):
        value(make_output(0), ModelOutput(torch.zeros(7, 5)), LABELS)
