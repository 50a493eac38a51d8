from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.config import MachineRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.loading.augmentation import NoAugmentation
from facekd.models.weights import load_model
from facekd.route.congruence import Congruence, create_congruence
from facekd.route.profile import PointProfile, profile_route
from facekd.route.route import Route
from facekd.training.machine import Machine


@pytest.fixture
def congruence(random_route: Route, small_classes: Path) -> Congruence:
    """The congruence of a student that equals point 1, over 12 images."""
    network = load_model(random_route.point_file(1))

    @torch.no_grad()
    def student(images: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(network(network.preprocess(images)))

    return create_congruence(open_class_set(small_classes, "test"), NoAugmentation(), 32, random_route, student,
                             temperature=4.0, machine=Machine(MachineRecipe(device="cpu")), decoded_cache_gib=1.0)


def logits(route: Route, small_classes: Path, point: int) -> torch.Tensor:
    images = open_class_set(small_classes, "test")
    network = load_model(route.point_file(point))
    pixels = torch.from_numpy(np.stack([images.pixels(index) for index in range(len(images))]))
    with torch.no_grad():
        return torch.as_tensor(network(network.preprocess(pixels))).double()


def test_without_images_a_profile_contains_the_recorded_points(random_route: Route) -> None:
    assert profile_route(random_route) == [
        PointProfile(number, point) for number, point in enumerate(random_route.points)]


def test_accuracy_and_congruence_follow_their_definitions(
    random_route: Route, small_classes: Path, congruence: Congruence
) -> None:
    labels = open_class_set(small_classes, "test").labels
    profiles = profile_route(random_route, congruence, labels)
    log_end = (logits(random_route, small_classes, 2) / 4).log_softmax(1)
    for number, profile in enumerate(profiles):
        outputs = logits(random_route, small_classes, number)
        assert (profile.number, profile.point) == (number, random_route.points[number])
        assert profile.accuracy == float((outputs.argmax(1).numpy() == labels).mean())
        log_point = (outputs / 4).log_softmax(1)
        to_end = float((log_end.exp() * (log_end - log_point)).sum(1).mean())
        assert profile.congruence_to_end == pytest.approx(to_end, rel=1e-3, abs=1e-6)
        assert profile.congruence_to_student is None


def test_a_student_that_equals_a_point_has_no_distance_to_it(random_route: Route, congruence: Congruence) -> None:
    profiles = profile_route(random_route, congruence, with_student=True)
    distances = [profile.congruence_to_student for profile in profiles]
    assert distances[0] is not None and distances[1] is not None and distances[2] is not None
    assert distances[1] < 1e-6 < 1e-3 < min(distances[0], distances[2])
    assert [profile.accuracy for profile in profiles] == [None] * 3
