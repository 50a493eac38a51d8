"""Every registered method trains a student on digits and on faces, as a run of distill does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor

from facekd.config import HeadRecipe, JointTeacherRecipe, MachineRecipe, TrainingRecipe
from facekd.data.image_set import ImageSet, Pixels, Subset
from facekd.data.loading.augmentation import NoAugmentation
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import write_faces
from facekd.losses import get_loss_class, list_losses
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import parse_objective
from facekd.methods.online import OnlineDistillation, build_online_distillation
from facekd.methods.supervised import Supervised
from facekd.models.feature_extractor import FeatureExtractor, dummy_input
from facekd.models.registry import Network, create
from facekd.route.teacher import Teacher
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.trainer import Trainer
from facekd.types import ModelOutput

SIZE = 32
BATCH = 16
STEPS = 18
CLOSED_SET_METHODS = [*(name for name in list_losses() if not get_loss_class(name).needs_embeddings),
                      "prokt", "dml", "dml + ie-kd", "kd + rkd"]
FACE_METHODS = [*(name for name in list_losses() if not get_loss_class(name).needs_logits),
                "prokt", "dml", "dml + ie-kd", "l2 + rkd"]
METHODS = [("digits", name) for name in CLOSED_SET_METHODS]
METHODS += [("synthetic_faces", name) for name in FACE_METHODS]
METHODS += [("real_faces", name) for name in FACE_METHODS
            if name not in list_losses() or get_loss_class(name).family == "faces"]
LONG = {
    ("digits", "crd"): 96, ("synthetic_faces", "crd"): 48, ("synthetic_faces", "vid"): 48,
    ("real_faces", "ekd"): 160, ("digits", "prokt"): 48,
}
"""Steps of the methods whose small distillation term is at first dominated by the term on labels, and of prokt."""


class Digits(ImageSet):
    """The first images of scikit-learn's handwritten digits, 8 px, enlarged to 32."""

    def __init__(self, count: int) -> None:
        digits = load_digits()
        self.path = Path("digits")
        self.class_names = list("0123456789")
        self.labels = digits.target[:count].astype(np.int64)
        gray = np.rint(digits.images[:count] * (255 / 16)).astype(np.uint8)
        self._pixels = np.stack([gray.repeat(4, axis=1).repeat(4, axis=2)] * 3, axis=-1)

    def pixels(self, index: int) -> Pixels:
        pixels: Pixels = self._pixels[index]
        return pixels

    def stored_bytes(self, index: int) -> bytes:
        return self.pixels(index).tobytes()

    def location(self, index: int) -> str:
        return f"digit {index}"


class GradientTeacher(Teacher):
    """A teacher whose network would receive gradients if a method let any reach it."""

    def __init__(self, network: Network) -> None:
        self.network = network.eval()
        self.dimension = network.spec.outputs
        self._extractor = FeatureExtractor(network)

    def forward(self, batch: Batch) -> ModelOutput:
        return self._extractor(self.network.preprocess(batch.images))

    def example_output(self) -> ModelOutput:
        return self._extractor(self.network.preprocess(dummy_input(self.network)))


class World:
    """A set of images with a teacher that is trained on it, a factory of students and their learning rate."""

    def __init__(self, folder: Path, images: ImageSet, head: HeadRecipe, teacher: Network,
                 student: Callable[[], Network], learning_rate: float) -> None:
        self.loader = Loader(images, SIZE, batch_size=BATCH, seed=0, augmentation=NoAugmentation())
        self.head = head
        self.student = student
        self.learning_rate = learning_rate
        train(folder, Supervised(teacher, head, images.num_classes), self.loader, 60)
        self.teacher = GradientTeacher(teacher)

    def method(self, name: str, seed: int) -> Distillation:
        torch.manual_seed(seed)
        objective = parse_objective(name, {}, self.head.closed_set)
        if objective.joint_teacher:
            return build_online_distillation(self.student(), self.student(), objective, JointTeacherRecipe(),
                                             self.head, self.loader)
        return build_distillation(self.student(), objective, lambda points: self.teacher,
                                  self.teacher.example_output(), self.head, self.loader)


def train(folder: Path, method: Method, loader: Loader, steps: int, learning_rate: float = 0.1) -> Path:
    """Train as a run does; return the folder of checkpoints."""
    recipe = TrainingRecipe(epochs=steps / loader.steps_per_epoch, batch_size=BATCH, learning_rate=learning_rate)
    run = Run(folder)
    Trainer(run, method, lambda number: Stage(recipe.epochs, (0,)), loader, recipe,
            Machine(MachineRecipe(device="cpu", threads=1))).fit()
    return run.checkpoints


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.manual_seed(0)
    make = partial(create, size=SIZE, outputs=10, width=0.5)
    return World(tmp_path_factory.mktemp("teacher"), Digits(96), HeadRecipe(name="softmax"), make("resnet20"),
                 partial(make, "resnet8"), 0.1)


def face_world(folder: Path, images: ImageSet) -> World:
    """Student and teacher differ in the number of network stages and in the length of embeddings."""
    torch.manual_seed(0)
    return World(folder, images, HeadRecipe(scale=16), create("iresnet10", size=SIZE, outputs=24, width=0.125),
                 partial(create, "resnet8", size=SIZE, outputs=16, width=0.5), 0.03)


@pytest.fixture(scope="module")
def synthetic_faces(tmp_path_factory: pytest.TempPathFactory) -> World:
    """40 identities of the package's generator, 4 images each."""
    folder = tmp_path_factory.mktemp("synthetic_faces")
    write_faces(folder, range(40), 4, size=SIZE)
    return face_world(tmp_path_factory.mktemp("teacher"), open_faces(folder))


@pytest.fixture(scope="module")
def real_faces(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """About 40 identities; the tests are skipped where real faces are absent."""
    images = Subset(open_faces(shared / "faces" / "train"), np.arange(160))
    return face_world(tmp_path_factory.mktemp("teacher"), images)


@dataclass(frozen=True)
class TrainedMethod:
    """A method after its training.

    Attributes:
        world: the images and the frozen teacher.
        name: the method in recipes.
        method: the trained method.
        checkpoints: the folder of its checkpoints.
        teacher_state: the state of the frozen teacher before the training.
        before: the terms before the training, see `measure_terms`.
        after: the terms after the training.
    """

    world: World
    name: str
    method: Distillation
    checkpoints: Path
    teacher_state: Mapping[str, Tensor]
    before: Mapping[str, float]
    after: Mapping[str, float]


def measure_terms(method: Distillation, loader: Loader) -> dict[str, float]:
    """Sum the terms of two batches after all warm-ups, and during one if there is one; the state is restored.

    Memories are first filled by the current networks: randomly initialized ones cannot be compared with filled ones.
    """
    state = {name: value.clone() for name, value in method.state_dict().items()}
    terms: dict[str, float] = {}
    method.train()
    if {"crd", "ekd", "adadistill"} & method.terms.keys():
        for batch in loader.iter_steps(0, 2 * loader.steps_per_epoch):
            method.losses(batch, 0.5)
    moments = [0.1, 0.5] if {"ab", "fsp"} & method.terms.keys() else [0.5]
    with torch.no_grad():
        for progress, batch in product(moments, loader.iter_steps(0, 2)):
            passes = method.optimizer_passes(batch, progress)
            for name, term in chain.from_iterable(closure().items() for closure in passes):
                terms[name] = terms.get(name, 0.0) + float(term)
    method.load_state_dict(state)
    return terms


def distillation_loss(terms: Mapping[str, float]) -> float:
    """The sum of the terms by which the student follows its teacher: no labels, and no terms of a joint teacher."""
    return sum(value for name, value in terms.items() if name != "labels" and not name.startswith("teacher."))


@pytest.fixture(scope="module", params=METHODS, ids=lambda case: " ".join(case))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedMethod:
    world_name, name = request.param
    world: World = request.getfixturevalue(world_name)
    world.teacher.network.zero_grad(set_to_none=True)
    teacher_state = {key: value.clone() for key, value in world.teacher.network.state_dict().items()}
    method = world.method(name, 0)
    method.on_stage_start(Stage(1, (0,)))
    before = measure_terms(method, world.loader)
    steps = LONG.get((world_name, name), STEPS)
    checkpoints = train(tmp_path_factory.mktemp("student"), method, world.loader, steps, world.learning_rate)
    after = measure_terms(method, world.loader)
    return TrainedMethod(world, name, method, checkpoints, teacher_state, before, after)


def test_the_loss_stays_finite_and_falls(trained: TrainedMethod) -> None:
    assert np.isfinite(list(trained.after.values())).all()
    assert sum(trained.after.values()) < sum(trained.before.values())


def test_the_students_distillation_loss_falls(trained: TrainedMethod) -> None:
    """Without the labels, whose fall would hide a distance that grows. A joint teacher may move away."""
    assert trained.after.keys() - {"labels"}
    if {"prokt", "dml"} & set(trained.name.split(" + ")):
        return
    assert distillation_loss(trained.after) < distillation_loss(trained.before)


def test_a_checkpoint_is_the_method_again_without_a_new_pretraining(trained: TrainedMethod) -> None:
    restored = trained.world.method(trained.name, 1)
    checkpoint.restore(trained.checkpoints, restored)
    restored.on_stage_start(Stage(1, (0,)))
    state = trained.method.state_dict()
    assert [key for key, value in restored.state_dict().items() if not torch.equal(value, state[key])] == []
    assert measure_terms(restored, trained.world.loader) == trained.after


def test_a_frozen_teacher_stays_as_it_is(trained: TrainedMethod) -> None:
    network = trained.world.teacher.network
    assert [name for name, weight in network.named_parameters() if weight.grad is not None] == []
    state = network.state_dict()
    assert [key for key, value in state.items() if not torch.equal(value, trained.teacher_state[key])] == []


def test_the_gradient_of_a_pass_reaches_only_the_modules_of_that_pass(trained: TrainedMethod) -> None:
    method, teacher_modules = trained.method, {"joint_teacher", "joint_teacher_head", "teacher_losses"}
    batch = next(trained.world.loader.iter_epoch(0))
    trains_teacher = [True, False] if isinstance(method, OnlineDistillation) else [False]
    for closure, is_teacher_pass in zip(method.optimizer_passes(batch, 0.5), trains_teacher, strict=True):
        method.zero_grad(set_to_none=True)
        torch.stack(list(closure().values())).sum().backward()  # type: ignore[no-untyped-call]
        reached = {name.partition(".")[0] for name, weight in method.named_parameters() if weight.grad is not None}
        assert reached and (reached <= teacher_modules if is_teacher_pass else not reached & teacher_modules)
