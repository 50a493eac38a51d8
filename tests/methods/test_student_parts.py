from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from facekd.config import HeadRecipe, LossRecipe
from facekd.errors import FacekdError, ModelError
from facekd.methods.objective import parse_objective
from facekd.methods.student_parts import (
    StudentParts,
    build_student_parts,
    comparable_output,
    example_student_output,
    weighted_losses,
)
from facekd.models.feature_extractor import dummy_input
from facekd.models.registry import create
from facekd.types import BatchContext, ModelOutput
from tests.methods.noise import noise_loader

FACES = HeadRecipe()
SOFTMAX = HeadRecipe(name="softmax")
LOADER = noise_loader()


def parts(losses: dict[str, Any], head: HeadRecipe = FACES, dimensions: tuple[int, int] = (16, 16)) -> StudentParts:
    """The parts of a student; ``dimensions`` are the lengths of the student's and the teacher's outputs."""
    torch.manual_seed(0)
    student = create("iresnet10", size=32, outputs=dimensions[0], width=0.25)
    recipes = {name: LossRecipe.model_validate(value) for name, value in losses.items()}
    objective = parse_objective("", recipes, head.closed_set)
    teacher_output = ModelOutput(torch.zeros(2, dimensions[1]))
    return build_student_parts(student, objective, teacher_output, head, LOADER, ())


def test_the_modules_are_those_of_the_terms() -> None:
    built = parts({"l2": 1, "cosine": 2, "labels": 0.1})
    assert set(built.losses) == {"l2", "cosine"}
    assert set(built.terms) == {"l2", "cosine", "labels"}
    assert built.head is not None
    assert parts({"l2": 1}).head is None


@pytest.mark.parametrize(("dimensions", "kind"), [((16, 16), nn.Identity), ((8, 16), nn.Linear)])
def test_there_is_a_projection_only_where_dimensions_differ(dimensions: tuple[int, int], kind: type[nn.Module]) -> None:
    assert type(parts({"l2": 1}, dimensions=dimensions).projection) is kind


def test_the_example_output_is_projected_and_without_gradient() -> None:
    built = parts({"l2": 1}, dimensions=(8, 16))
    output = example_student_output(built.extractor, built.projection, False)
    embeddings = built.student(built.student.preprocess(dummy_input(built.student))).detach().double().numpy()
    weight = next(built.projection.parameters()).detach().double().numpy()
    assert not output.outputs.requires_grad
    np.testing.assert_allclose(output.outputs.numpy(), embeddings @ weight.T, rtol=1e-4, atol=1e-5)


def test_the_features_of_a_face_network_are_its_embeddings() -> None:
    output = ModelOutput(torch.ones(2, 3), (), torch.zeros(2, 5))
    assert torch.equal(comparable_output(output, closed_set=False).features, output.outputs)
    assert comparable_output(output, closed_set=True).pre_logits is output.pre_logits


def test_only_losses_with_a_weight_are_computed_and_each_is_multiplied_by_it() -> None:
    built = parts({"l2": {"weight": 1, "normalize": False}, "cosine": 1})
    student, teacher = (ModelOutput(torch.randn(4, 16)) for _ in range(2))
    context = BatchContext(torch.zeros(4, dtype=torch.int64), torch.arange(4))
    terms = weighted_losses({"l2": 0.5}, built.losses, student, teacher, context)
    distance = ((student.outputs - teacher.outputs).double() ** 2).sum(1).mean()
    assert {name: float(term) for name, term in terms.items()} == {"l2": pytest.approx(0.5 * float(distance), rel=1e-5)}


@pytest.mark.parametrize("losses", [{"l2": 0, "kd": 0}, {"labels": 1}, {"labels": 1, "l2": 0}])
def test_an_objective_without_a_teacher_is_refused(losses: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"losses: none follows a teacher.*facekd train"):
        parts(losses)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(ModelError, match="the teacher knows 16 classes and the data 8; train both on the same classes"):
        parts({"kd": 1}, SOFTMAX, (8, 16))


@pytest.mark.parametrize(("losses", "head", "message"), [
    ({"kd": 1}, FACES, "loss kd compares logits, and a face network has embeddings"),
    ({"ekd": 1}, SOFTMAX, "loss ekd compares face embeddings, and a softmax head has logits"),
])
def test_losses_that_do_not_fit_the_outputs_are_refused(losses: dict[str, Any], head: HeadRecipe, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parts(losses, head, (8, 8))


@pytest.mark.parametrize(("losses", "message"), [
    ({"kdd": 1}, "unknown loss 'kdd': did you mean 'kd'"),
    ({"l2": {"normalise": True}}, "loss l2: unknown option 'normalise'"),
    ({"l2": 1, "labels": {"smoothing": 0.1}}, "loss labels: unknown option 'smoothing'"),
])
def test_an_unknown_loss_or_option_is_refused(losses: dict[str, Any], message: str) -> None:
    with pytest.raises(FacekdError, match=message):
        parts(losses)


def test_a_hint_without_the_teachers_maps_is_refused() -> None:
    with pytest.raises(ModelError, match=r"teacher.* no .*maps"):
        parts({"hint": 1})


def test_losses_that_remember_images_are_refused_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.methods.student_parts.get_world_size", lambda: 2)
    with pytest.raises(ModelError, match=r"losses\.crd remembers earlier batches.*train in one process"):
        parts({"crd": 1})
    assert set(parts({"rkd": 1}).losses) == {"rkd"}
