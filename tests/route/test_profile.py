from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.config import MachineRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.loading.augmentation import NoAugmentation
from facekd.models.weights import load_model
from facekd.route import profile as profile_module
from facekd.route.congruence import Congruence, create_congruence
from facekd.route.profile import PointProfile, net_change, pair_auc, profile_route
from facekd.route.route import Route
from facekd.training.machine import Machine


@pytest.fixture
def congruence(random_route: Route, small_classes: Path) -> Congruence:
    """The congruence over 12 images."""
    return create_congruence(open_class_set(small_classes, "test"), NoAugmentation(), 32, random_route, temperature=4.0,
                             machine=Machine(MachineRecipe(device="cpu")), decoded_cache_gib=1.0)


def logits(route: Route, small_classes: Path, point: int) -> torch.Tensor:
    images = open_class_set(small_classes, "test")
    network = load_model(route.point_file(point))
    pixels = torch.from_numpy(np.stack([images.pixels(index) for index in range(len(images))]))
    with torch.no_grad():
        return torch.as_tensor(network(network.preprocess(pixels))).double()


def test_without_images_a_profile_contains_the_recorded_points(random_route: Route) -> None:
    assert profile_route(random_route) == [
        PointProfile(number, point) for number, point in enumerate(random_route.points)]


def test_metric_change_and_congruence_follow_their_definitions(
    random_route: Route, small_classes: Path, congruence: Congruence
) -> None:
    labels = open_class_set(small_classes, "test").labels
    profiles = profile_route(random_route, congruence, labels)
    log_end = (logits(random_route, small_classes, 2) / 4).log_softmax(1)
    for number, profile in enumerate(profiles):
        outputs = logits(random_route, small_classes, number)
        assert (profile.number, profile.point) == (number, random_route.points[number])
        assert profile.metric == float((outputs.argmax(1).numpy() == labels).mean())
        assert profile.metric_name == "accuracy"
        log_point = (outputs / 4).log_softmax(1)
        to_end = float((log_end.exp() * (log_end - log_point)).sum(1).mean())
        assert profile.congruence_to_end == pytest.approx(to_end, rel=1e-3, abs=1e-6)
        assert profile.congruence_to_student is None
    first, middle, end = (logits(random_route, small_classes, n).softmax(1).flatten() for n in range(3))
    share = float((middle - first) @ end / ((end - first) @ end))
    assert [profile.net_change for profile in profiles] == pytest.approx([0.0, share, 1.0], rel=1e-3)


def test_a_student_that_equals_a_point_has_no_distance_to_it(random_route: Route, congruence: Congruence) -> None:
    network = load_model(random_route.point_file(1))
    with torch.no_grad():
        student_losses = congruence.student_losses(lambda images: network(network.preprocess(images)), range(3))
    profiles = profile_route(random_route, congruence, student_losses=student_losses)
    distances = [profile.congruence_to_student for profile in profiles]
    assert distances[0] is not None and distances[1] is not None and distances[2] is not None
    assert distances[1] < 1e-6 < 1e-3 < min(distances[0], distances[2])
    assert [(profile.metric, profile.metric_name) for profile in profiles] == [(None, None)] * 3


def test_embeddings_have_the_area_of_their_pairs_and_changes_at_unit_length(
    random_route: Route, small_classes: Path, congruence: Congruence
) -> None:
    congruence.temperature = None
    labels = open_class_set(small_classes, "test").labels
    profiles = profile_route(random_route, congruence, labels)
    for number, profile in enumerate(profiles):
        outputs = logits(random_route, small_classes, number)
        assert profile.metric == pytest.approx(area_of_all_comparisons(outputs.numpy(), labels), abs=1e-6)
        assert profile.metric_name == "AUC"
    first, middle, end = (torch.nn.functional.normalize(logits(random_route, small_classes, n)) for n in range(3))
    share = float(((middle - first) * end).sum() / ((end - first) * end).sum())
    assert profiles[1].net_change == pytest.approx(share, rel=1e-3)
    no_pairs = profile_route(random_route, congruence, np.arange(len(labels)))
    assert [(profile.metric, profile.metric_name) for profile in no_pairs] == [(None, None)] * 3


def area_of_all_comparisons(embeddings: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Compare every pair of one identity with every pair of two, by definition."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (unit @ unit.T).astype(np.float32)
    pairs = list(itertools.combinations(range(len(labels)), 2))
    genuine = [cosines[i, j] for i, j in pairs if labels[i] == labels[j]]
    impostors = [cosines[i, j] for i, j in pairs if labels[i] != labels[j]]
    wins = [0.5 if g == i else float(g > i) for g in genuine for i in impostors]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("block", [1, 37, 2**18])
def test_the_area_is_that_of_all_comparisons_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(profile_module, "MAX_BLOCK_ELEMENTS", block)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 30)
    embeddings = rng.normal(size=(30, 4)) + np.eye(5, 4)[labels]
    embeddings[7] = embeddings[8]
    assert pair_auc(embeddings, labels) == pytest.approx(area_of_all_comparisons(embeddings, labels), abs=1e-12)


def test_equal_cosines_count_half_and_scale_does_not_count() -> None:
    labels = np.array([0, 0, 1, 1])
    assert pair_auc(np.ones((4, 3)), labels) == 0.5
    assert pair_auc(np.array([[1.0, 0], [5, 0], [0, 1], [0, 9]]), labels) == 1.0
    assert pair_auc(np.array([[1.0, 0], [0, 9], [5, 0], [0, 1]]), labels) == 0.25  # 2 of 4 impostors are above, 2 equal


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0], [0], []])
def test_without_pairs_of_both_kinds_there_is_no_area(labels: list[int]) -> None:
    assert pair_auc(np.ones((len(labels), 3)), np.array(labels, np.int64)) is None


def test_of_a_large_set_whole_identities_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[NDArray[np.int64]] = []

    def record_labels(embeddings: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
        compared.append(labels)
        return 0.5

    monkeypatch.setattr(profile_module, "MAX_PAIR_IMAGES", 12)
    monkeypatch.setattr(profile_module, "pair_auc", record_labels)
    labels = np.repeat(np.arange(10), 3)[np.random.default_rng(0).permutation(30)]
    for _ in range(2):
        profile_module._measure(torch.ones(30, 2), labels, closed_set=False)
    assert np.bincount(compared[0])[np.unique(compared[0])].tolist() == [3, 3, 3, 3]
    np.testing.assert_array_equal(compared[0], compared[1])


def noisy_route(points_per_step: int, seed: int) -> list[torch.Tensor]:
    """Logits of a teacher whose outputs are noise until half of the training, and then change within a tenth of it.

    A route with more points per step is the same training, recorded more densely; the noise of a point is its own.
    """
    generator = torch.Generator().manual_seed(seed)
    target = 4 * torch.randn(500, 2, generator=generator)
    times = [number / (20 * points_per_step) for number in range(20 * points_per_step + 1)]
    shares = [min(1.0, max(0.0, (time - 0.5) / 0.1)) for time in times]
    return [share * target + 0.5 * torch.randn(500, 2, generator=generator) for share in shares]


@pytest.mark.parametrize("closed_set", [True, False])
@pytest.mark.parametrize("points_per_step", [1, 2, 4])
def test_the_net_change_is_found_whatever_the_density_of_the_points(closed_set: bool, points_per_step: int) -> None:
    route = noisy_route(points_per_step, seed=0)
    shares = [net_change(outputs, route[0], route[-1], closed_set) or 0.0 for outputs in route]
    for part in (0.25, 0.5, 0.75):
        crossing = next(number for number, share in enumerate(shares) if share >= part)
        assert 0.5 < crossing / (20 * points_per_step) <= 0.6
    steps = itertools.pairwise(torch.stack(route).softmax(2) if closed_set else torch.nn.functional.normalize(
        torch.stack(route), dim=2))
    lengths = [float((b - a).square().sum().sqrt()) for a, b in steps]
    assert sum(lengths[: 10 * points_per_step]) > 0.25 * sum(lengths), "the sum of the steps is noise"


def test_a_route_that_ends_where_it_began_has_no_net_change() -> None:
    outputs = torch.randn(5, 3)
    assert net_change(torch.randn(5, 3), outputs, outputs, closed_set=True) is None
