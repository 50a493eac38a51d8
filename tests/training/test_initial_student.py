from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.config import DistillRecipe
from facekd.errors import ModelError
from facekd.models.registry import Network, create
from facekd.models.weights import save_model
from facekd.training.initial_student import initial_student


@pytest.fixture
def part(tmp_path: Path) -> tuple[Network, Path]:
    network = create("resnet8", size=32, outputs=24, normalization="cifar10", width=0.5)
    save_model(network, tmp_path / "part.safetensors")
    return network, tmp_path / "part.safetensors"


def recipe(head: str = "arcface", **student: Any) -> DistillRecipe:
    values = {"dataset": "d", "plan": "p", "out": "o", "student": student, "head": {"name": head}}
    return DistillRecipe.model_validate(values)


def test_without_weights_the_student_is_that_of_the_recipe() -> None:
    given = recipe(name="resnet8", size=32, embedding=16)
    resolved, student = initial_student(given, 10)
    assert resolved is given and student.spec.outputs == 16


def test_weights_set_all_other_keys(part: tuple[Network, Path]) -> None:
    network, file = part
    resolved, student = initial_student(recipe(weights=str(file)), 10)
    assert student.training and student.spec == network.spec
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in student.state_dict().items())
    keys = ("name", "size", "embedding", "normalization", "options")
    assert [getattr(resolved.student, key) for key in keys] == ["resnet8", 32, 24, "cifar10", {}]
    assert initial_student(resolved, 10)[0] == resolved  # the written recipe runs as it is


def test_a_recipe_of_another_network_is_refused(part: tuple[Network, Path]) -> None:
    with pytest.raises(ModelError, match=r"student\.size is 48, and .* has 32; leave student\.size out"):
        initial_student(recipe(weights=str(part[1]), size=48), 10)
    with pytest.raises(ModelError, match=r"student\.options is .*0\.25.*leave student\.options out"):
        initial_student(recipe(weights=str(part[1]), options={"width": 0.25}), 10)


def test_a_classifier_of_other_classes_is_refused(part: tuple[Network, Path]) -> None:
    with pytest.raises(ModelError, match="has 24 outputs, the training set 10 classes"):
        initial_student(recipe(head="softmax", weights=str(part[1])), 10)
    assert initial_student(recipe(head="softmax", weights=str(part[1])), 24)[1].spec.outputs == 24


def test_the_embedding_has_the_length_of_the_output_unless_it_is_given() -> None:
    resolved, student = initial_student(recipe(name="resnet8", size=32), 10, 24)
    assert resolved.student.embedding == 24 and (student.spec.outputs, student.spec.embedding) == (24, 0)
    resolved, student = initial_student(recipe(name="resnet8", size=32, embedding=16), 10, 24)
    assert resolved.student.embedding == 16 and (student.spec.outputs, student.spec.embedding) == (24, 16)


def test_weights_of_another_length_get_an_output_layer(part: tuple[Network, Path], tmp_path: Path) -> None:
    file = part[1]
    resolved, student = initial_student(recipe(weights=str(file)), 10, 40)
    assert student.training and (student.spec.outputs, student.spec.embedding) == (40, 24)
    assert resolved.student.embedding == 24
    save_model(student, tmp_path / "student.safetensors")
    again, continued = initial_student(recipe(weights=str(tmp_path / "student.safetensors")), 10, 40)
    assert again.student.embedding == 24 and continued.spec == student.spec
