from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.config import MachineRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.loading.augmentation import NoAugmentation
from facekd.data.loading.loader import Loader
from facekd.errors import ModelError
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.cache import write_slot
from facekd.route.congruence import Congruence, distances
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine

Floats = NDArray[np.float64]


@pytest.fixture
def anchors(random_route: Route, small_classes: Path) -> AnchorTeachers:
    images = open_class_set(small_classes, "test")
    # 12 images: the last batch is incomplete
    loader = Loader(images, 32, batch_size=5, seed=0, augmentation=NoAugmentation())
    return AnchorTeachers(random_route, loader, images.fingerprint(), "float32", Machine(MachineRecipe(device="cpu")))


@torch.no_grad()
def student(images: Tensor) -> Tensor:
    torch.manual_seed(9)
    network = create("resnet8", size=32, outputs=4, width=0.5).eval()
    outputs: Tensor = network(network.preprocess(images))
    return outputs


def all_images(anchors: AnchorTeachers) -> Tensor:
    """All images: uint8 [12, 32, 32, 3]."""
    images = anchors.loader.images
    return torch.from_numpy(np.stack([images.pixels(index) for index in range(len(images))]))


@torch.no_grad()
def teacher_outputs(anchors: AnchorTeachers, point: int) -> Floats:
    network = load_model(anchors.route.point_file(point))
    outputs: Floats = network(network.preprocess(all_images(anchors))).double().numpy()
    return outputs


def softmax(values: Floats) -> Floats:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def kl(student: Floats, teacher: Floats, temperature: float) -> float:
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return float((p * np.log(p / q)).sum(axis=1).mean())


def unit(values: Floats) -> Floats:
    scaled: Floats = values / np.linalg.norm(values, axis=1, keepdims=True)
    return scaled


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_of_classes_it_is_the_mean_kl_from_the_points_to_the_student(
    anchors: AnchorTeachers, temperature: float
) -> None:
    losses = Congruence(anchors, temperature).student_losses(student, [0, 1, 2]).mean(1).tolist()
    student_outputs = student(all_images(anchors)).double().numpy()
    truth = [kl(student_outputs, teacher_outputs(anchors, point), temperature) for point in range(3)]
    assert losses == pytest.approx(truth, rel=1e-4)
    reversed_losses = [kl(teacher_outputs(anchors, point), student_outputs, temperature) for point in range(3)]
    assert losses != pytest.approx(reversed_losses, rel=1e-3)  # the wrong direction would show


def test_of_embeddings_it_is_the_squared_distance_at_unit_length(anchors: AnchorTeachers) -> None:
    losses = Congruence(anchors, None).student_losses(student, [2, 0])
    student_outputs = unit(student(all_images(anchors)).double().numpy())
    differences = [student_outputs - unit(teacher_outputs(anchors, point)) for point in (2, 0)]
    truth = np.stack([(difference**2).sum(axis=1) for difference in differences])
    np.testing.assert_allclose(losses, truth, rtol=1e-4)


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_a_student_that_is_a_point_has_none(anchors: AnchorTeachers, temperature: float | None) -> None:
    network = load_model(anchors.route.point_file(1))
    with torch.no_grad():
        congruence = Congruence(anchors, temperature)
        student_losses = congruence.student_losses(lambda images: network(network.preprocess(images)), [0, 1, 2])
    losses = student_losses.mean(1).tolist()
    assert losses[1] < 1e-6 < 1e-3 < min(losses[0], losses[2])
    distance = congruence.distance(congruence.outputs(1), congruence.outputs(2))
    assert distance == pytest.approx(losses[2], rel=1e-4)


def test_each_image_has_its_loss(anchors: AnchorTeachers) -> None:
    losses = Congruence(anchors, 4.0).student_losses(student, [2])
    student_outputs = student(all_images(anchors)).double().numpy()
    teacher = teacher_outputs(anchors, 2)
    truth = [kl(student_outputs[row : row + 1], teacher[row : row + 1], 4.0) for row in range(12)]
    assert losses[0].tolist() == pytest.approx(truth, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("temperature", [None, 4.0])
def test_outputs_of_different_sizes_are_refused(temperature: float | None) -> None:
    with pytest.raises(ModelError):
        distances(torch.ones(3, 4), torch.ones(3, 1), temperature)


def test_a_points_outputs_are_computed_once(anchors: AnchorTeachers, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def count(teacher: Any, loader: Any, slot: Any, file: Path, *rest: Any) -> None:
        written.append(file)
        write_slot(teacher, loader, slot, file, *rest)

    monkeypatch.setattr("facekd.route.teachers.write_slot", count)
    congruence = Congruence(anchors, 4.0)
    first = congruence.student_losses(student, [0, 1])
    assert congruence.student_losses(student, [0, 1, 2])[:2].equal(first)
    assert Congruence(anchors, 4.0).student_losses(student, [2, 1, 0])[1:].equal(first.flip(0))
    assert len(written) == len(set(written)) == 3
    assert isinstance(anchors.outputs(0), np.memmap)
