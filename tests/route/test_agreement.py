from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional

from facekd.config import MachineRecipe
from facekd.data.containers.class_set import open_class_set
from facekd.data.image_set import ImageSet, split_validation
from facekd.data.loading.augmentation import NoAugmentation
from facekd.data.loading.loader import Loader
from facekd.errors import RouteError
from facekd.models.registry import Network, create
from facekd.models.weights import load_model
from facekd.route import agreement as module
from facekd.route.agreement import SEED, GradientAgreement, create_agreement
from facekd.route.cache import CachedOutputs
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.activation_checkpointing import apply_activation_checkpointing
from facekd.training.machine import Machine

Floats = NDArray[np.float64]
MakeAnchors = Callable[..., AnchorTeachers]


@pytest.fixture
def images(small_classes: Path) -> ImageSet:
    """Twelve images of four classes, sorted by class."""
    return open_class_set(small_classes, "test")


@pytest.fixture
def make_anchors(random_route: Route, images: ImageSet) -> MakeAnchors:
    """``make_anchors(5)`` returns the three points of `random_route` over the images, in batches of five."""

    def make(batch_size: int, machine: Machine | None = None) -> AnchorTeachers:
        loader = Loader(images, 32, batch_size=batch_size, seed=0, augmentation=NoAugmentation())
        machine = machine or Machine(MachineRecipe(device="cpu", threads=1))
        return AnchorTeachers(random_route, loader, images.fingerprint(), "float32", machine)

    return make


class LinearStudent(nn.Module):
    """Logits or embeddings that are linear in 48 pixel means; a buffer and a frozen weight are part of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(9)
        self.linear = nn.Linear(48, 4)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.linear(features(images.float()))
        return outputs


def features(images: Tensor) -> Tensor:
    """The means of 4 x 4 cells in each channel, [N, 48], between -0.5 and 0.5."""
    return functional.avg_pool2d(images.permute(0, 3, 1, 2) / 255 - 0.5, 8).flatten(1)


def all_images(anchors: AnchorTeachers) -> Tensor:
    """All images: uint8 [12, 32, 32, 3]."""
    return torch.from_numpy(np.stack([anchors.loader.images.pixels(index) for index in range(12)]))


@torch.no_grad()
def teacher_outputs(anchors: AnchorTeachers, point: int) -> Tensor:
    network = load_model(anchors.route.point_file(point))
    outputs: Tensor = network(network.preprocess(all_images(anchors)))
    return outputs.double()


def half_batches(count: int, batch_size: int) -> Iterator[tuple[int, Tensor]]:
    """The indices of each half in every complete batch."""
    generator = torch.Generator().manual_seed(SEED)
    for first in range(0, count - batch_size + 1, batch_size):
        yield from enumerate((first + torch.randperm(batch_size, generator=generator)).chunk(2))


def cosine(first: Tensor, second: Tensor) -> float:
    return float(functional.cosine_similarity(first.flatten(), second.flatten(), dim=0))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("batch_size", [12, 5])  # of 5, 5 and 2 images the last two are left out
def test_of_classes_it_is_the_cosine_of_gradients_computed_by_hand(
    make_anchors: MakeAnchors, temperature: float, batch_size: int
) -> None:
    anchors, student = make_anchors(batch_size), LinearStudent()
    values = GradientAgreement(anchors, student, student, temperature)([0, 2, 1])
    inputs = torch.cat([features(all_images(anchors).double()), torch.ones(12, 1, dtype=torch.float64)], dim=1)
    weight = torch.cat([student.linear.weight, student.linear.bias[:, None]], dim=1).detach().double()
    student_probabilities = torch.softmax(inputs @ weight.T / temperature, dim=1)
    truth = []
    for point in (0, 2, 1):
        # d KL(p || q) / d z = (q - p) / T for logits z
        errors = student_probabilities - torch.softmax(teacher_outputs(anchors, point) / temperature, dim=1)
        halves = [torch.zeros_like(weight), torch.zeros_like(weight)]
        for half, rows in half_batches(12, batch_size):
            halves[half] += (errors[rows] - errors[rows].mean(0)).T @ inputs[rows] / temperature
        truth.append(cosine(*halves))
    assert values == pytest.approx(truth, abs=1e-5)
    assert len({round(value, 4) for value in values}) == 3


def test_of_embeddings_it_is_that_of_the_squared_distance_at_unit_length(make_anchors: MakeAnchors) -> None:
    anchors, student = make_anchors(12), LinearStudent()
    values = GradientAgreement(anchors, student, student, None)([2, 0])
    inputs = features(all_images(anchors).double())
    weights = (student.linear.weight.detach().double(), student.linear.bias.detach().double())

    def distance(outputs: Tensor, targets: Tensor) -> Tensor:
        return (functional.normalize(outputs) - functional.normalize(targets)).square().sum()

    truth = []
    for point in (2, 0):
        targets, halves = teacher_outputs(anchors, point), []
        for _, rows in half_batches(12, 12):
            errors = grad(distance)(inputs[rows] @ weights[0].T + weights[1], targets[rows])
            errors -= errors.mean(0)
            halves.append(torch.cat([(errors.T @ inputs[rows]).flatten(), errors.sum(0)]))
        truth.append(cosine(*halves))
    assert values == pytest.approx(truth, abs=1e-5)


def resnet(training: bool = True) -> Network:
    torch.manual_seed(9)
    return create("resnet8", size=32, outputs=4, width=0.5).train(training)


def resnet_agreements(anchors: AnchorTeachers, network: Network) -> list[float]:
    return GradientAgreement(anchors, network, lambda images: network(network.preprocess(images)), 4.0)([0, 1, 2])


def test_batch_norms_use_the_statistics_of_the_batch(make_anchors: MakeAnchors) -> None:
    anchors, network = make_anchors(12), resnet()
    values = resnet_agreements(anchors, network)
    reference = resnet().double()
    inputs = reference.preprocess(all_images(anchors)).double()

    def centered_product(weights: dict[str, Tensor], rows: Tensor, targets: Tensor) -> Tensor:
        """A product whose gradient is that of the distance with errors whose mean over the images is 0."""
        outputs = functional_call(reference, weights, (inputs[rows],))
        errors = torch.softmax(outputs.detach() / 4, dim=1) - torch.softmax(targets[rows] / 4, dim=1)
        return (outputs * (errors - errors.mean(0))).sum()

    weights = {name: weight.detach() for name, weight in reference.named_parameters()}
    for norm in reference.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.track_running_stats = False  # torch.func allows no updates in place
    truth = []
    for point in range(3):
        targets = teacher_outputs(anchors, point)
        halves = [torch.cat([part.flatten() for part in grad(centered_product)(weights, rows, targets).values()])
                  for _, rows in half_batches(12, 12)]
        truth.append(cosine(*halves))
    assert values == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_the_student_and_the_random_numbers_stay_as_they_are(make_anchors: MakeAnchors, training: bool) -> None:
    network = resnet(training)
    student = nn.Sequential(network, nn.Dropout(0.5)).train(training)
    student[1].training = True
    before = {name: value.clone() for name, value in student.state_dict().items()}
    modes = [part.training for part in student.modules()]
    random_state = torch.get_rng_state()
    measure = GradientAgreement(make_anchors(12), student, lambda images: student(network.preprocess(images)), 4.0)
    assert measure([0, 1]) == measure([0, 1])  # dropout would make a difference
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert [part.training for part in student.modules()] == modes
    assert all(weight.grad is None for weight in student.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_modes_are_restored_after_a_failure(make_anchors: MakeAnchors) -> None:
    student = LinearStudent()

    def fail(images: Tensor) -> Tensor:
        assert not student.training
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        GradientAgreement(make_anchors(12), student, fail, 4.0)([0])
    assert student.training


def test_it_may_be_measured_without_gradients_around_it(make_anchors: MakeAnchors) -> None:
    anchors = make_anchors(12)
    with torch.no_grad():
        without_gradients = resnet_agreements(anchors, resnet())
    assert without_gradients == resnet_agreements(anchors, resnet())


def test_groups_of_points_that_fit_into_memory_change_nothing(
    make_anchors: MakeAnchors, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchors = make_anchors(8)
    truth = resnet_agreements(anchors, resnet())
    monkeypatch.setattr(module, "MAX_GRADIENT_BYTES", 1)
    assert resnet_agreements(anchors, resnet()) == truth


def test_activation_checkpointing_changes_nothing(make_anchors: MakeAnchors) -> None:
    anchors, network = make_anchors(12), resnet()
    truth = resnet_agreements(anchors, resnet())
    apply_activation_checkpointing(network)
    assert resnet_agreements(anchors, network) == pytest.approx(truth, abs=1e-5)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in resnet().state_dict().items())


def test_a_compiled_student_runs_eagerly(make_anchors: MakeAnchors) -> None:
    truth = resnet_agreements(make_anchors(12), resnet())
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        compiled.append(graph)
        return graph.forward

    network = resnet()
    network.compile(backend=backend)
    machine = Machine(MachineRecipe(device="cpu", threads=1, compile=True))
    assert resnet_agreements(make_anchors(12, machine), network) == truth
    assert compiled == []


class FixedAnchors(AnchorTeachers):
    """Points with given outputs: [points, images, D]."""

    all_outputs: NDArray[np.float32]

    def outputs(self, point: int, slot: int = 0) -> CachedOutputs:
        outputs: CachedOutputs = self.all_outputs[point]
        return outputs


def test_a_common_signal_agrees_and_the_noise_of_single_images_does_not(make_anchors: MakeAnchors) -> None:
    anchors, student = make_anchors(12), LinearStudent()
    fixed = FixedAnchors(anchors.route, anchors.loader, anchors.fingerprint, "float32", anchors.machine)
    rng = np.random.default_rng(0)
    # Brighter images are of the first class, as a student of pixel means can learn
    common = np.outer(anchors.loader.images.labels % 2 * 6.0 - 3, [1.0, -1, 0, 0])
    noise = [rng.normal(0, 20, (12, 4)) for _ in range(8)]
    fixed.all_outputs = np.array([common, *noise], np.float32)
    signal, *of_noise = GradientAgreement(fixed, student, student, 1.0)(range(9))
    assert signal > 0.8
    assert all(-1 <= value < signal for value in of_noise)
    assert abs(np.mean(of_noise)) < 0.5


def test_weights_without_effect_have_no_agreement(make_anchors: MakeAnchors) -> None:
    student, other = LinearStudent(), LinearStudent()
    assert GradientAgreement(make_anchors(12), student, other, 1.0)([0, 1]) == [0.0, 0.0]


def test_too_few_images_are_refused(random_route: Route, images: ImageSet) -> None:
    three = split_validation(images, 0.25)[1]
    student = LinearStudent()
    with pytest.raises(RouteError, match=r"at least 4 images held out of training, not 3: set data\.val_fraction"):
        create_agreement(three, NoAugmentation(), 32, random_route, student, student, temperature=4.0,
                         machine=Machine(MachineRecipe(device="cpu", threads=1)), batch_size=8, decoded_cache_gib=1.0)


@pytest.mark.parametrize(("batch_size", "expected"), [(2, 4), (5, 4), (6, 6), (8, 6), (11, 6), (500, 12)])
def test_its_batches_divide_the_images_and_are_no_larger_than_those_of_the_training(
    random_route: Route, images: ImageSet, batch_size: int, expected: int
) -> None:
    student = LinearStudent()
    measure = create_agreement(images, NoAugmentation(), 32, random_route, student, student, temperature=4.0,
                               machine=Machine(MachineRecipe(device="cpu", threads=1)), batch_size=batch_size,
                               decoded_cache_gib=1.0)
    assert measure.anchors.loader.batch_size == expected
    assert all(-1 <= value <= 1 for value in measure([0, 1, 2]))

