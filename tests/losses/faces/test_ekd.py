from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss
from facekd.losses.faces.ekd import EKD, thresholds
from facekd.types import Answer, Question, Size

NAME = EKD.name
LABELS = [0, 1, 1, 2, 0, 0, 3, 4]
SIZE = Size(8, 5)


def answer(seed: int) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    return Answer(torch.randn(8, 6, generator=generator, dtype=torch.float64, requires_grad=True))


def question(labels: list[int] | None = None) -> Question:
    labels = LABELS if labels is None else labels
    return Question(torch.tensor(labels), torch.arange(len(labels)))


def make(**options: float) -> Loss:
    return create_loss(NAME, answer(0), answer(1), SIZE, **options)


def pairs(given: Answer) -> dict[tuple[int, int], float]:
    units = [row / np.linalg.norm(row) for row in given.outputs.detach().numpy()]
    return {(i, j): float(units[i] @ units[j]) for i, j in itertools.combinations(range(len(units)), 2)}


def split(given: Answer, labels: list[int]) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    cos = pairs(given)
    same = {key for key in cos if labels[key[0]] == labels[key[1]]}
    return {key: cos[key] for key in same}, {key: cos[key] for key in cos if key not in same}


def levels(given: Answer) -> list[float]:
    """Of 24 pairs of two people the second highest, and the highest for all rates below."""
    ordered = sorted(split(given, LABELS)[1].values(), reverse=True)
    assert len(ordered) == 24
    return [ordered[1]] + [ordered[0]] * 5


def truth(student: Answer, teacher: Answer, own_levels: list[float], target_levels: list[float],
          hardest: int, temperature: float) -> float:
    def rank(cos: float, steps: list[float]) -> float:
        return sum(1 / (1 + math.exp(-(cos - step) / temperature)) for step in steps)

    (own_same, own_others), (same, others) = split(student, LABELS), split(teacher, LABELS)
    hard = sorted(own_others, key=lambda key: -own_others[key])[:hardest]
    return (
        0.02 * float(np.mean([(rank(own_same[k], own_levels) - rank(same[k], target_levels)) ** 2 for k in same]))
        + 0.01 * float(np.mean([(rank(own_others[k], own_levels) - rank(others[k], target_levels)) ** 2 for k in hard]))
    )


@pytest.mark.parametrize(("hardest", "temperature"), [(2000, 0.01), (5, 0.01), (24, 0.2)])
def test_the_first_batch_measures_both_by_the_teachers_thresholds(hardest: int, temperature: float) -> None:
    student, teacher = answer(0), answer(1)
    found = make(hardest=hardest, temperature=temperature)(student, teacher, question())
    exact = truth(student, teacher, levels(teacher), levels(teacher), hardest, temperature)
    assert float(found.detach()) == pytest.approx(exact, rel=1e-8)


def test_later_batches_use_moving_means_of_the_thresholds_before_them() -> None:
    loss = make(temperature=0.1)
    for seed in (0, 2, 4):
        found = loss(answer(seed), answer(seed + 1), question())
    student, teacher = (
        [0.99 * first + 0.01 * second for first, second in zip(levels(answer(a)), levels(answer(b)), strict=True)]
        for a, b in ((0, 2), (1, 3))
    )
    assert float(found.detach()) == pytest.approx(truth(answer(4), answer(5), student, teacher, 2000, 0.1), rel=1e-8)


@pytest.mark.parametrize("begun", [False, True])
def test_the_gradient_at_a_mild_temperature_is_that_of_differences(begun: bool) -> None:
    loss, student, teacher = make(temperature=0.3, positives=2.0, negatives=1.0), answer(0), answer(1)
    if begun:
        loss(answer(2), answer(3), question())

    def value(outputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = copy.deepcopy(loss)(Answer(outputs), teacher, question())
        return result

    assert torch.autograd.gradcheck(value, student.outputs)


def test_thresholds_are_quantiles_and_the_maximum_where_a_rate_is_less_than_one_pair() -> None:
    values = torch.arange(1, 2501)[torch.randperm(2500, generator=torch.Generator().manual_seed(0))] / 2500
    expected = torch.tensor([2251, 2476, 2499, 2500, 2500, 2500]) / 2500
    assert torch.equal(thresholds(values), expected)
    assert [int((values >= level).sum()) for level in expected] == [250, 25, 2, 1, 1, 1]


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = answer(0), answer(1)
    longer = Answer(student.outputs * torch.arange(1, 9)[:, None]), Answer(teacher.outputs * 30)
    torch.testing.assert_close(make()(*longer, question()), make()(student, teacher, question()))


def test_a_student_that_follows_its_teacher_costs_nothing_at_any_time() -> None:
    loss = make()
    assert [float(loss(answer(seed), answer(seed), question()).detach()) for seed in (0, 1, 2)] == [0, 0, 0]


def test_without_positives_the_negatives_remain() -> None:
    student, teacher, labels = answer(0), answer(1), list(range(8))
    whole = make(temperature=0.1)(student, teacher, question(labels))
    assert float(whole.detach()) > 0
    assert torch.equal(whole, make(temperature=0.1, positives=0.0)(student, teacher, question(labels)))


def test_one_person_alone_costs_nothing_and_has_a_gradient() -> None:
    student, loss = answer(0), make()
    found = loss(student, answer(1), question([3] * 8))
    found.backward()
    assert float(found.detach()) == 0 and not bool(loss.begun)
    assert student.outputs.grad is not None and not student.outputs.grad.any()


@pytest.mark.parametrize("gradient", [True, False])
def test_thresholds_move_only_while_it_is_trained_with(gradient: bool) -> None:
    loss = make()
    loss.train(not gradient)
    with torch.set_grad_enabled(gradient):
        loss(answer(0), answer(1), question())
    assert not any(bool(kept.any()) for kept in loss.state_dict().values())


def test_thresholds_are_kept_with_the_state() -> None:
    loss, other = make(), make()
    loss(answer(0), answer(1), question())
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(answer(2), answer(3), question()), loss(answer(2), answer(3), question()))


@pytest.mark.parametrize("options", [
    {"temperature": 0.0}, {"hardest": 0}, {"momentum": 1.5}, {"positives": 0.0, "negatives": 0.0},
])
def test_options_it_cannot_work_with_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="temperature and hardest must be above 0 and momentum at most 1"):
        make(**options)


def test_embeddings_of_different_widths_are_refused() -> None:
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(answer(0), Answer(torch.zeros(8, 5)), question())
