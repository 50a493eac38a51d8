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
from facekd.types import BatchContext, DatasetSize, ModelOutput

NAME = EKD.name
LABELS = [0, 1, 1, 2, 0, 0, 3, 4]
SIZE = DatasetSize(8, 5)


def make_output(seed: int) -> ModelOutput:
    generator = torch.Generator().manual_seed(seed)
    return ModelOutput(torch.randn(8, 6, generator=generator, dtype=torch.float64, requires_grad=True))


def context(labels: list[int] | None = None) -> BatchContext:
    labels = LABELS if labels is None else labels
    return BatchContext(torch.tensor(labels), torch.arange(len(labels)))


def make(**options: float) -> Loss:
    return create_loss(NAME, make_output(0), make_output(1), SIZE, **options)


def pairs(output: ModelOutput) -> dict[tuple[int, int], float]:
    units = [row / np.linalg.norm(row) for row in output.outputs.detach().numpy()]
    return {(i, j): float(units[i] @ units[j]) for i, j in itertools.combinations(range(len(units)), 2)}


def split(output: ModelOutput, labels: list[int]) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]]:
    cos = pairs(output)
    same = {key for key in cos if labels[key[0]] == labels[key[1]]}
    return {key: cos[key] for key in same}, {key: cos[key] for key in cos if key not in same}


def levels(output: ModelOutput) -> list[float]:
    """Return the second highest similarity of the 24 impostor pairs, and the highest for all smaller rates."""
    ordered = sorted(split(output, LABELS)[1].values(), reverse=True)
    assert len(ordered) == 24
    return [ordered[1]] + [ordered[0]] * 5


def truth(student: ModelOutput, teacher: ModelOutput, student_levels: list[float], teacher_levels: list[float],
          hard_negatives: int, temperature: float) -> float:
    def rank(cos: float, steps: list[float]) -> float:
        return sum(1 / (1 + math.exp(-(cos - step) / temperature)) for step in steps)

    (student_same, student_others), (same, others) = split(student, LABELS), split(teacher, LABELS)
    hard = sorted(student_others, key=lambda key: -student_others[key])[:hard_negatives]
    positives = [rank(student_same[k], student_levels) - rank(same[k], teacher_levels) for k in same]
    negatives = [rank(student_others[k], student_levels) - rank(others[k], teacher_levels) for k in hard]
    return float(0.02 * np.mean(np.square(positives)) + 0.01 * np.mean(np.square(negatives)))


@pytest.mark.parametrize(("hard_negatives", "temperature"), [(2000, 0.01), (5, 0.01), (24, 0.2)])
def test_the_first_batch_measures_both_by_the_teachers_thresholds(hard_negatives: int, temperature: float) -> None:
    student, teacher = make_output(0), make_output(1)
    result = make(hard_negatives=hard_negatives, temperature=temperature)(student, teacher, context())
    exact = truth(student, teacher, levels(teacher), levels(teacher), hard_negatives, temperature)
    assert float(result.detach()) == pytest.approx(exact, rel=1e-8)


def test_later_batches_use_moving_means_of_the_thresholds_before_them() -> None:
    loss = make(temperature=0.1)
    for seed in (0, 2, 4):
        result = loss(make_output(seed), make_output(seed + 1), context())
    student, teacher = (
        (0.99 * np.array(levels(make_output(first))) + 0.01 * np.array(levels(make_output(second)))).tolist()
        for first, second in ((0, 2), (1, 3))
    )
    exact = truth(make_output(4), make_output(5), student, teacher, 2000, 0.1)
    assert float(result.detach()) == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("initialized", [False, True])
def test_the_gradient_at_a_mild_temperature_is_that_of_differences(initialized: bool) -> None:
    loss = make(temperature=0.3, positive_weight=2.0, negative_weight=1.0)
    student, teacher = make_output(0), make_output(1)
    if initialized:
        loss(make_output(2), make_output(3), context())

    def value(outputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = copy.deepcopy(loss)(ModelOutput(outputs), teacher, context())
        return result

    assert torch.autograd.gradcheck(value, student.outputs)


def test_thresholds_are_quantiles_and_the_maximum_where_a_rate_is_less_than_one_pair() -> None:
    values = torch.arange(1, 2501)[torch.randperm(2500, generator=torch.Generator().manual_seed(0))] / 2500
    expected = torch.tensor([2251, 2476, 2499, 2500, 2500, 2500]) / 2500
    assert torch.equal(thresholds(values), expected)
    assert [int((values >= level).sum()) for level in expected] == [250, 25, 2, 1, 1, 1]


def test_lengths_of_embeddings_do_not_matter() -> None:
    student, teacher = make_output(0), make_output(1)
    longer = ModelOutput(student.outputs * torch.arange(1, 9)[:, None]), ModelOutput(teacher.outputs * 30)
    torch.testing.assert_close(make()(*longer, context()), make()(student, teacher, context()))


def test_a_student_that_follows_its_teacher_costs_nothing_at_any_time() -> None:
    loss = make()
    assert [float(loss(make_output(seed), make_output(seed), context()).detach()) for seed in (0, 1, 2)] == [0, 0, 0]


def test_without_positives_the_negatives_remain() -> None:
    student, teacher, labels = make_output(0), make_output(1), list(range(8))
    loss_value = make(temperature=0.1)(student, teacher, context(labels))
    assert float(loss_value.detach()) > 0
    assert torch.equal(loss_value, make(temperature=0.1, positive_weight=0.0)(student, teacher, context(labels)))


def test_one_identity_alone_costs_nothing_and_has_a_gradient() -> None:
    student, loss = make_output(0), make()
    result = loss(student, make_output(1), context([3] * 8))
    result.backward()
    assert float(result.detach()) == 0 and not bool(loss.initialized)
    assert student.outputs.grad is not None and not student.outputs.grad.any()


@pytest.mark.parametrize("gradient", [True, False])
def test_thresholds_move_only_while_it_is_trained_with(gradient: bool) -> None:
    loss = make()
    loss.train(not gradient)
    with torch.set_grad_enabled(gradient):
        loss(make_output(0), make_output(1), context())
    assert not any(bool(value.any()) for value in loss.state_dict().values())


def test_thresholds_are_kept_with_the_state() -> None:
    loss, other = make(), make()
    loss(make_output(0), make_output(1), context())
    other.load_state_dict(loss.state_dict())
    outputs = make_output(2), make_output(3)
    assert torch.equal(other(*outputs, context()), loss(*outputs, context()))


@pytest.mark.parametrize("options", [
    {"temperature": 0.0}, {"hard_negatives": 0}, {"momentum": 1.5}, {"positive_weight": 0.0, "negative_weight": 0.0},
])
def test_options_it_cannot_work_with_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="temperature and hard_negatives must be above 0 and momentum at most 1"):
        make(**options)


def test_embeddings_of_different_widths_are_refused() -> None:
    with pytest.raises(ModelError, match="give the student a projection"):
        make()(make_output(0), ModelOutput(torch.zeros(8, 5)), context())
