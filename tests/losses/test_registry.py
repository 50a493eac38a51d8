"""What every loss must do; a new loss is swept as soon as it is registered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss, kind_of, names
from facekd.types import Answer, Question, Size

QUESTION = Question(torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([4, 0, 7, 1, 2, 5]), 0.5)
SIZE = Size(images=8, classes=3)
NOT_ZERO = {
    "hint", "vid", "ab", "ofd", "reviewkd", "ft", "ie-kd", "ie-at-ours", "ie-od-ours",  # regressors
    "shrinkteanet-ours",  # likewise
    "nkd", "crd", "adadistill", "proxyless-ours", "margin-distillation-ours",  # entropies
    "triplet-distillation-ours",  # a teacher may break its own margin
}
"""Losses that equal answers do not bring to 0: parts that begin at random stand between them, or an entropy remains."""


def answers(count: int = len(QUESTION.labels), dtype: torch.dtype = torch.float32) -> tuple[Answer, Answer]:
    """Fresh leaves, alike on each call: outputs of one length, maps of different channels and sides."""
    generator = torch.Generator().manual_seed(7)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)[:count].to(dtype).requires_grad_()

    n = len(QUESTION.labels)
    student = Answer(leaf(n, 8), (leaf(n, 3, 8, 8), leaf(n, 4, 4, 4), leaf(n, 6, 2, 2)), leaf(n, 6))
    teacher = Answer(leaf(n, 8), (leaf(n, 5, 8, 8), leaf(n, 7, 4, 4), leaf(n, 9, 4, 4), leaf(n, 11, 1, 1)), leaf(n, 11))
    return student, teacher


def make(name: str, dtype: torch.dtype = torch.float32) -> Loss:
    """A loss made from a sample of 2 images."""
    torch.manual_seed(1)
    return create_loss(name, *answers(2, dtype), SIZE)


def leaves(answer: Answer) -> list[Tensor]:
    return [answer.outputs, answer.features, *answer.maps]


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_registry_holds_the_promised_names() -> None:
    assert {"kd", "hint", "l2", "cosine"} <= set(names())


def test_a_loss_is_one_finite_float32_above_zero(name: str) -> None:
    value = make(name)(*answers(), QUESTION)
    assert (value.shape, value.dtype) == ((), torch.float32)
    assert bool(value.isfinite()) and float(value.detach()) > 0


def test_the_gradient_reaches_the_student_and_no_teacher(name: str) -> None:
    student, teacher = answers()
    make(name)(student, teacher, QUESTION).backward()
    slopes = [leaf.grad for leaf in leaves(student) if leaf.grad is not None]
    assert any(bool(slope.any()) for slope in slopes) and all(bool(slope.isfinite().all()) for slope in slopes)
    assert [leaf.grad for leaf in leaves(teacher)] == [None] * len(leaves(teacher))


def test_the_gradient_reaches_every_part_of_its_own(name: str) -> None:
    loss = make(name)
    loss(*answers(), QUESTION).backward()
    own = {key: p.grad for key, p in loss.named_parameters() if p.requires_grad}
    assert [key for key, grad in own.items() if grad is None or not grad.any()] == []


def test_the_gradient_is_that_of_differences(name: str) -> None:
    loss, (student, teacher) = make(name, torch.float64).eval(), answers(3, torch.float64)  # memories stand still

    def value(outputs: Tensor, read: Tensor, *maps: Tensor) -> Tensor:
        question = Question(QUESTION.labels[:3], QUESTION.index[:3], 0.5)
        result: Tensor = loss(Answer(outputs, maps, read), teacher, question)
        return result

    assert torch.autograd.gradcheck(value, tuple(leaves(student)))


def test_float64_answers_give_a_float64_loss(name: str) -> None:
    exact = make(name, torch.float64)(*answers(dtype=torch.float64), QUESTION)
    assert exact.dtype == torch.float64


def test_low_precision_answers_give_a_float32_loss(name: str) -> None:
    (student, teacher), loss = answers(dtype=torch.bfloat16), make(name, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(student, teacher, QUESTION)
    outside = make(name, torch.bfloat16)(student, teacher, QUESTION)
    assert inside.dtype == outside.dtype == torch.float32
    assert float(inside.detach()) == pytest.approx(float(outside.detach()), rel=1e-2)
    assert {p.dtype for p in loss.parameters()} <= {torch.float32}


@pytest.mark.parametrize("same", sorted(set(names()) - NOT_ZERO))
def test_equal_answers_cost_nothing(same: str) -> None:
    student, _ = answers()
    loss = create_loss(same, student, student, SIZE)
    assert float(loss(student, student, QUESTION).detach()) == pytest.approx(0, abs=1e-6)


def test_it_looks_at_maps_only_where_it_says_so(name: str) -> None:
    student, teacher = answers()
    bare = Answer(student.outputs, read=student.read), Answer(teacher.outputs, read=teacher.read)
    if kind_of(name).maps:
        with pytest.raises(ModelError, match="maps"):
            create_loss(name, *bare, SIZE)
        with pytest.raises(ModelError, match="maps"):
            make(name)(*bare, QUESTION)
    else:
        torch.manual_seed(1)  # as `make` does
        assert torch.equal(create_loss(name, *bare, SIZE)(*bare, QUESTION), make(name)(student, teacher, QUESTION))


def test_an_unknown_option_names_the_valid_ones(name: str) -> None:
    with pytest.raises(ModelError, match=f"loss {name}: unknown option 'widht'; its options are: "):
        create_loss(name, *answers(), SIZE, widht=1)


@pytest.mark.parametrize("ask", [kind_of, lambda name: create_loss(name, *answers(), SIZE)])
def test_an_unknown_loss_names_the_nearest(ask: Callable[[str], object]) -> None:
    with pytest.raises(ModelError, match="unknown loss 'cosin': did you mean 'cosine'"):
        ask("cosin")
