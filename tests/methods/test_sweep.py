"""Every method that is registered trains a student on real digits or real faces, as a run of distill would."""

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

from facekd.config import HeadRecipe, MachineRecipe, PartnerRecipe, ScheduleRecipe
from facekd.data.image_set import ImageSet, Pixels, Subset
from facekd.data.loading.augmentation import Augmentation
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.losses import kind_of, names
from facekd.methods.distillation import Distillation
from facekd.methods.joint import Together
from facekd.methods.objective import mixture
from facekd.methods.supervised import Labels
from facekd.models.feature_extractor import Tapped, blank
from facekd.models.registry import Network, create
from facekd.route.teacher import Teacher
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.method import Method, Stage
from facekd.training.trainer import Trainer
from facekd.types import Answer

SIZE, BATCH, STEPS = 32, 16, 18
CLOSED = [*(name for name in names() if not kind_of(name).faces), "prokt", "dml", "dml + ie-kd", "kd + rkd"]
OPEN = [*(name for name in names() if not kind_of(name).logits), "prokt", "dml", "dml + ie-kd", "l2 + rkd"]
METHODS = [("digits", name) for name in CLOSED] + [("faces", name) for name in OPEN]
LONG = {("digits", "crd"): 48, ("digits", "prokt"): 48}
"""Steps of what needs more: a memory that fills first, and last layers that begin at 0."""


class Digits(ImageSet):
    """The first of scikit-learn's handwritten digits, 8 px, enlarged to 32."""

    def __init__(self, count: int) -> None:
        digits = load_digits()
        self.path, self.names, self.labels = Path("digits"), list("0123456789"), digits.target[:count].astype(np.int64)
        grey = np.rint(digits.images[:count] * (255 / 16)).astype(np.uint8)
        self._pixels = np.stack([grey.repeat(4, axis=1).repeat(4, axis=2)] * 3, axis=-1)

    def pixels(self, index: int) -> Pixels:
        pixels: Pixels = self._pixels[index]
        return pixels

    def content(self, index: int) -> bytes:
        return self.pixels(index).tobytes()

    def where(self, index: int) -> str:
        return f"digit {index}"


class Watched(Teacher):
    """A teacher whose network would take gradients, if a method let any come to it."""

    def __init__(self, network: Network) -> None:
        self.network, self.dimension = network.eval(), network.spec.outputs
        self._ask = Tapped(network)

    def answer(self, batch: Batch) -> Answer:
        return self._ask(self.network.inputs(batch.images))

    def sample(self) -> Answer:
        return self._ask(self.network.inputs(blank(self.network)))


class World:
    """Real images, a teacher that has learnt them, what its students are like, and their learning rate."""

    def __init__(self, folder: Path, images: ImageSet, head: HeadRecipe, teacher: Network,
                 student: Callable[[], Network], rate: float) -> None:
        self.loader, self.head = Loader(images, SIZE, BATCH, 0, Augmentation()), head
        self.student, self.rate = student, rate
        train(folder, Labels(teacher, head, images.classes), self.loader, 60)
        self.teacher = Watched(teacher)

    def method(self, name: str, seed: int) -> Distillation:
        torch.manual_seed(seed)
        mixed = mixture(name, {}, self.head.closed)
        if mixed.partner:
            return Together(self.student(), self.student(), mixed, PartnerRecipe(), self.head, self.loader)
        return Distillation(self.student(), mixed, lambda points: self.teacher, self.teacher.sample(), self.head,
                            self.loader)


def train(folder: Path, method: Method, loader: Loader, steps: int, rate: float = 0.1) -> Path:
    """As the verbs do; gives the folder of checkpoints."""
    schedule = ScheduleRecipe(epochs=steps / loader.steps, batch=BATCH, learning_rate=rate)
    run = Run(folder)
    Trainer(run, method, lambda number: Stage(schedule.epochs, (0,)), loader, schedule,
            MachineRecipe(device="cpu", threads=1)).fit()
    return run.checkpoints


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> World:
    torch.manual_seed(0)
    make = partial(create, size=SIZE, outputs=10, width=0.5)
    return World(tmp_path_factory.mktemp("teacher"), Digits(96), HeadRecipe(name="softmax"), make("resnet20"),
                 partial(make, "resnet8"), 0.1)


@pytest.fixture(scope="module")
def faces(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Some forty people; student and teacher differ in the number of stages and in the length of embeddings."""
    torch.manual_seed(0)
    images = Subset(open_faces(shared / "faces" / "train"), np.arange(160))
    return World(tmp_path_factory.mktemp("teacher"), images, HeadRecipe(scale=16),
                 create("iresnet10", size=SIZE, outputs=24, width=0.125),
                 partial(create, "resnet8", size=SIZE, outputs=16, width=0.5), 0.03)


@dataclass(frozen=True)
class Trained:
    """A method after its training, what was `measured` before and after, and the frozen teacher's state before."""

    world: World
    name: str
    method: Distillation
    checkpoints: Path
    frozen: Mapping[str, Tensor]
    before: Mapping[str, float]
    after: Mapping[str, float]


def measured(method: Distillation, loader: Loader) -> dict[str, float]:
    """The terms of two batches at moments past all warm-ups, in either stage where there are two; it changes nothing.

    Memories are first filled by the networks as they are: begun at random, they would be compared with filled ones.
    """
    state, figures = {name: value.clone() for name, value in method.state_dict().items()}, dict[str, float]()
    method.train()
    if {"crd", "ekd", "adadistill"} & method.terms.keys():
        for batch in loader.run(0, 2 * loader.steps):
            method.losses(batch, 0.5)
    moments = [0.1, 0.5] if {"ab", "fsp"} & method.terms.keys() else [0.5]
    with torch.no_grad():
        for done, batch in product(moments, loader.run(0, 2)):
            for name, term in chain.from_iterable(turn().items() for turn in method.turns(batch, done)):
                figures[name] = figures.get(name, 0.0) + float(term)
    method.load_state_dict(state)
    return figures


@pytest.fixture(scope="module", params=METHODS, ids=lambda case: " ".join(case))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    where, name = request.param
    world: World = request.getfixturevalue(where)
    world.teacher.network.zero_grad(set_to_none=True)
    frozen = {key: value.clone() for key, value in world.teacher.network.state_dict().items()}
    method = world.method(name, 0)
    method.begin(Stage(1, (0,)))
    before = measured(method, world.loader)
    steps = LONG.get((where, name), STEPS)
    path = train(tmp_path_factory.mktemp("student"), method, world.loader, steps, world.rate)
    after = measured(method, world.loader)
    return Trained(world, name, method, path, frozen, before, after)


def test_the_loss_stays_finite_and_falls(trained: Trained) -> None:
    assert np.isfinite(list(trained.after.values())).all()
    assert sum(trained.after.values()) < sum(trained.before.values())


def test_a_checkpoint_is_the_method_again_without_new_lessons(trained: Trained) -> None:
    again = trained.world.method(trained.name, 1)
    checkpoint.restore(trained.checkpoints, again)
    again.begin(Stage(1, (0,)))
    kept = trained.method.state_dict()
    assert [key for key, value in again.state_dict().items() if not torch.equal(value, kept[key])] == []
    assert measured(again, trained.world.loader) == trained.after


def test_a_frozen_teacher_stays_as_it_is(trained: Trained) -> None:
    network = trained.world.teacher.network
    assert [name for name, weight in network.named_parameters() if weight.grad is not None] == []
    assert [key for key, value in network.state_dict().items() if not torch.equal(value, trained.frozen[key])] == []


def test_gradients_reach_those_whose_turn_it_is(trained: Trained) -> None:
    method, theirs = trained.method, {"partner", "partner_head", "returned"}
    batch = next(trained.world.loader.epoch(0))
    turns = [theirs, None] if isinstance(method, Together) else [None]
    for compute, turn in zip(method.turns(batch, 0.5), turns, strict=True):
        method.zero_grad(set_to_none=True)
        torch.stack(list(compute().values())).sum().backward()  # type: ignore[no-untyped-call]
        reached = {name.partition(".")[0] for name, weight in method.named_parameters() if weight.grad is not None}
        assert reached and (reached <= theirs if turn else not reached & theirs)
