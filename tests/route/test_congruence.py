from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.config import MachineRecipe
from facekd.data.containers.class_set import open_classes
from facekd.data.loading.augmentation import Augmentation
from facekd.data.loading.loader import Loader
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.cache import write_slot
from facekd.route.congruence import Congruence
from facekd.route.route import Route
from facekd.route.teachers import Anchors
from facekd.training.machine import Machine

Floats = NDArray[np.float64]


@pytest.fixture
def anchors(random_route: Route, small_classes: Path) -> Anchors:
    images = open_classes(small_classes, "test")
    loader = Loader(images, 32, 5, 0, Augmentation())  # 12 images: the last batch is not a whole one
    return Anchors(random_route, loader, images.fingerprint(), "float32", Machine(MachineRecipe(device="cpu")))


@torch.no_grad()
def student(images: Tensor) -> Tensor:
    torch.manual_seed(9)
    network = create("resnet8", size=32, outputs=4, width=0.5).eval()
    outputs: Tensor = network(network.inputs(images))
    return outputs


def everything(anchors: Anchors) -> Tensor:
    """All images: uint8 [12, 32, 32, 3]."""
    images = anchors.loader.images
    return torch.from_numpy(np.stack([images.pixels(index) for index in range(len(images))]))


@torch.no_grad()
def said_by(anchors: Anchors, point: int) -> Floats:
    network = load_model(anchors.route.point_file(point))
    said: Floats = network(network.inputs(everything(anchors))).double().numpy()
    return said


def softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def kl(own: Floats, teacher: Floats, temperature: float) -> float:
    p, q = softmax(teacher / temperature), softmax(own / temperature)
    return float((p * np.log(p / q)).sum(axis=1).mean())


def unit(values: Floats) -> Floats:
    scaled: Floats = values / np.linalg.norm(values, axis=1, keepdims=True)
    return scaled


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_of_classes_it_is_the_mean_kl_from_the_points_to_the_student(anchors: Anchors, temperature: float) -> None:
    found = Congruence(anchors, student, temperature)([0, 1, 2])
    own = student(everything(anchors)).double().numpy()
    truth = [kl(own, said_by(anchors, point), temperature) for point in range(3)]
    assert found == pytest.approx(truth, rel=1e-4)
    turned = [kl(said_by(anchors, point), own, temperature) for point in range(3)]
    assert found != pytest.approx(turned, rel=1e-3)  # the wrong direction would show


def test_of_embeddings_it_is_the_squared_distance_at_unit_length(anchors: Anchors) -> None:
    found = Congruence(anchors, student, None)([2, 0])
    own = unit(student(everything(anchors)).double().numpy())
    truth = [float(((own - unit(said_by(anchors, point))) ** 2).sum(axis=1).mean()) for point in (2, 0)]
    assert found == pytest.approx(truth, rel=1e-4)


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_a_student_that_is_a_point_has_none(anchors: Anchors, temperature: float | None) -> None:
    network = load_model(anchors.route.point_file(1))
    with torch.no_grad():
        found = Congruence(anchors, lambda images: network(network.inputs(images)), temperature)([0, 1, 2])
    assert found[1] < 1e-6 < 1e-3 < min(found[0], found[2])


def test_a_points_outputs_are_computed_once(anchors: Anchors, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def count(teacher: Any, loader: Any, slot: Any, file: Path, *rest: Any) -> None:
        made.append(file)
        write_slot(teacher, loader, slot, file, *rest)

    monkeypatch.setattr("facekd.route.teachers.write_slot", count)
    congruence = Congruence(anchors, student, 4.0)
    once = congruence([0, 1])
    assert congruence([0, 1, 2])[:2] == once
    assert Congruence(anchors, student, 4.0)([2, 1, 0])[1:] == once[::-1]
    assert len(made) == len(set(made)) == 3
    assert isinstance(anchors.outputs(0), np.memmap)
