"""Properties that every registered loss must have, and the registry."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from facekd.errors import ModelError
from facekd.losses import Loss, create_loss, get_loss_class, list_losses, register_loss, registered
from facekd.losses.registry import FAMILIES
from facekd.types import BatchContext, DatasetSize, ModelOutput

CONTEXT = BatchContext(torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([4, 0, 7, 1, 2, 5]), 0.5)
SIZE = DatasetSize(images=8, classes=3)
NOT_ZERO = {
    "hint", "vid", "ab", "ofd", "reviewkd", "ft", "ie-kd", "ie-at-ours", "ie-od-ours",  # regressors
    "shrinkteanet-ours",  # regressors too
    "nkd", "crd", "adadistill", "proxyless-ours", "margin-distillation-ours",  # entropies
    "triplet-distillation-ours",  # a teacher may break its own margin
}
"""Losses that are not 0 for equal outputs, because of randomly initialized modules or because an entropy remains."""


def make_outputs(
    count: int = len(CONTEXT.labels), dtype: torch.dtype = torch.float32
) -> tuple[ModelOutput, ModelOutput]:
    """Return new leaf tensors, equal on each call: outputs of one length, maps of different channels and sides."""
    generator = torch.Generator().manual_seed(7)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)[:count].to(dtype).requires_grad_()

    n = len(CONTEXT.labels)
    student = ModelOutput(leaf(n, 8), (leaf(n, 3, 8, 8), leaf(n, 4, 4, 4), leaf(n, 6, 2, 2)), leaf(n, 6))
    teacher_outputs = leaf(n, 8)
    teacher_maps = (leaf(n, 5, 8, 8), leaf(n, 7, 4, 4), leaf(n, 9, 4, 4), leaf(n, 11, 1, 1))
    return student, ModelOutput(teacher_outputs, teacher_maps, leaf(n, 11))


def make(name: str, dtype: torch.dtype = torch.float32) -> Loss:
    """Create a loss from sample outputs of 2 images."""
    torch.manual_seed(1)
    return create_loss(name, *make_outputs(2, dtype), SIZE)


def leaves(output: ModelOutput) -> list[Tensor]:
    return [output.outputs, output.features, *output.feature_maps]


@pytest.fixture(params=list_losses())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_registry_holds_the_promised_names() -> None:
    assert {"kd", "hint", "l2", "cosine"} <= set(list_losses())


def test_a_loss_is_one_finite_float32_above_zero(name: str) -> None:
    value = make(name)(*make_outputs(), CONTEXT)
    assert (value.shape, value.dtype) == ((), torch.float32)
    assert bool(value.isfinite()) and float(value.detach()) > 0


def test_the_gradient_reaches_the_student_and_no_teacher(name: str) -> None:
    student, teacher = make_outputs()
    make(name)(student, teacher, CONTEXT).backward()
    gradients = [leaf.grad for leaf in leaves(student) if leaf.grad is not None]
    assert any(bool(gradient.any()) for gradient in gradients)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert [leaf.grad for leaf in leaves(teacher)] == [None] * len(leaves(teacher))


def test_the_gradient_reaches_every_part_of_its_own(name: str) -> None:
    loss = make(name)
    loss(*make_outputs(), CONTEXT).backward()
    gradients = {key: p.grad for key, p in loss.named_parameters() if p.requires_grad}
    assert [key for key, grad in gradients.items() if grad is None or not grad.any()] == []


def test_the_gradient_is_that_of_differences(name: str) -> None:
    loss = make(name, torch.float64).eval()  # in evaluation mode memories are constant
    student, teacher = make_outputs(3, torch.float64)

    def value(outputs: Tensor, pre_logits: Tensor, *maps: Tensor) -> Tensor:
        context = BatchContext(CONTEXT.labels[:3], CONTEXT.index[:3], 0.5)
        result: Tensor = loss(ModelOutput(outputs, maps, pre_logits), teacher, context)
        return result

    assert torch.autograd.gradcheck(value, tuple(leaves(student)))


def test_float64_outputs_give_a_float64_loss(name: str) -> None:
    value = make(name, torch.float64)(*make_outputs(dtype=torch.float64), CONTEXT)
    assert value.dtype == torch.float64


def test_low_precision_outputs_give_a_float32_loss(name: str) -> None:
    (student, teacher), loss = make_outputs(dtype=torch.bfloat16), make(name, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(student, teacher, CONTEXT)
    outside = make(name, torch.bfloat16)(student, teacher, CONTEXT)
    assert inside.dtype == outside.dtype == torch.float32
    assert float(inside.detach()) == pytest.approx(float(outside.detach()), rel=1e-2)
    assert {p.dtype for p in loss.parameters()} <= {torch.float32}


@pytest.mark.parametrize("same", sorted(set(list_losses()) - NOT_ZERO))
def test_equal_outputs_cost_nothing(same: str) -> None:
    student, _ = make_outputs()
    loss = create_loss(same, student, student, SIZE)
    assert float(loss(student, student, CONTEXT).detach()) == pytest.approx(0, abs=1e-6)


def test_it_needs_feature_maps_only_where_it_declares_so(name: str) -> None:
    student, teacher = make_outputs()
    bare = [ModelOutput(output.outputs, pre_logits=output.pre_logits) for output in (student, teacher)]
    if get_loss_class(name).needs_feature_maps:
        with pytest.raises(ModelError, match="maps"):
            create_loss(name, *bare, SIZE)
        with pytest.raises(ModelError, match="maps"):
            make(name)(*bare, CONTEXT)
    else:
        torch.manual_seed(1)  # as `make` does
        assert torch.equal(create_loss(name, *bare, SIZE)(*bare, CONTEXT), make(name)(student, teacher, CONTEXT))


def test_an_unknown_option_names_the_valid_ones(name: str) -> None:
    with pytest.raises(ModelError, match=f"loss {name}: unknown option 'widht'; its options are: "):
        create_loss(name, *make_outputs(), SIZE, widht=1)


@pytest.mark.parametrize("ask", [get_loss_class, lambda name: create_loss(name, *make_outputs(), SIZE)])
def test_an_unknown_loss_names_the_nearest(ask: Callable[[str], object]) -> None:
    with pytest.raises(ModelError, match="unknown loss 'cosin': did you mean 'cosine'"):
        ask("cosin")


def test_the_family_is_the_folder_of_the_module(name: str) -> None:
    loss_class = get_loss_class(name)
    assert loss_class.family in FAMILIES
    assert loss_class.__module__.startswith(f"facekd.losses.{loss_class.family}.")


def test_every_option_is_documented(name: str) -> None:
    loss_class = get_loss_class(name)
    parameters = inspect.signature(loss_class).parameters.values()
    options = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert [option for option in options if f"\n        {option}: " not in (loss_class.__doc__ or "")] == []


class Constant(Loss):
    """A loss that is always 1."""

    name = "constant"
    family = "responses"

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        return student.outputs.new_ones(())


def test_a_loss_is_registered_for_a_block_and_forgotten_afterwards() -> None:
    before = list_losses()
    with registered(Constant):
        assert get_loss_class("constant") is Constant and set(list_losses()) - set(before) == {"constant"}
        register_loss(type("Other", (Constant,), {"name": "other"}))
        assert "other" in list_losses()
    assert list_losses() == before


def test_a_loss_of_the_same_name_comes_back_after_an_error() -> None:
    original = get_loss_class("kd")
    with pytest.raises(RuntimeError), registered(type("Fake", (Constant,), {"name": "kd"})):
        assert get_loss_class("kd") is not original
        raise RuntimeError
    assert get_loss_class("kd") is original


@pytest.mark.parametrize("family", [None, "response"])
def test_a_loss_without_a_valid_family_is_refused(family: str | None) -> None:
    attributes = {"name": "odd"} if family is None else {"name": "odd", "family": family}
    with pytest.raises(ModelError, match="loss odd: its attribute 'family' must be one of responses, maps, relations"):
        register_loss(type("Odd", (Loss,), attributes))
    assert "odd" not in list_losses()


class _NoLabels(torch.Tensor):
    """Labels that end a test where they are used."""

    @classmethod
    def __torch_function__(cls, *args: object, **kwargs: object) -> object:
        raise AssertionError("labels were used")


def test_it_uses_labels_only_where_it_declares_so(name: str) -> None:
    loss = make(name)
    context = BatchContext(CONTEXT.labels.as_subclass(_NoLabels), CONTEXT.index, CONTEXT.progress)
    uses_labels = False
    try:
        loss(*make_outputs(), context)
    except AssertionError:
        uses_labels = True
    assert uses_labels == loss.uses_labels
