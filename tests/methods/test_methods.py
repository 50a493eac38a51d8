"""What the loop expects of every method; a new loss is swept as soon as it is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, LossRecipe, PartnerRecipe
from facekd.data.loading.loader import Batch
from facekd.losses import kind_of, names
from facekd.methods.distillation import Distillation
from facekd.methods.joint import Together
from facekd.methods.objective import mixture
from facekd.methods.supervised import Labels
from facekd.models.registry import Network, create
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage
from facekd.types import Answer
from tests.methods.noise import noise

HEAD, SOFTMAX = HeadRecipe(scale=16), HeadRecipe(name="softmax")
LOADER = noise()


class Table(Teacher):
    """Random answers, one an image; they would take a gradient if they were given one."""

    def __init__(self, seed: int, dimension: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.dimension = dimension
        self.outputs = torch.randn(48, dimension, generator=generator).requires_grad_()
        colours = torch.randn(1, 5, 1, 1, generator=generator)  # alike in all images, so that they can be learnt soon
        self.maps = tuple((colours + 0.1 * torch.randn(48, 5, side, side, generator=generator)).requires_grad_()
                          for side in (16, 8, 2))
        self.read = torch.randn(48, 12, generator=generator).requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.outputs, self.read, *self.maps]

    def answer(self, batch: Batch) -> Answer:
        return Answer(self.outputs[batch.index], tuple(m[batch.index] for m in self.maps), self.read[batch.index])

    def sample(self) -> Answer:
        return Answer(self.outputs[:2], tuple(m[:2] for m in self.maps), self.read[:2])


TEACHERS = {8: Table(0, 8), 16: Table(1, 16)}


def distillation(losses: dict[str, Any], outputs: int = 16, head: HeadRecipe = HEAD) -> Distillation:
    """Classifiers and their teachers have 8 outputs, embeddings 16, or fewer and a projection."""
    teacher = TEACHERS[8 if head.closed else 16]

    def of(points: Sequence[int]) -> Teacher:
        return teacher

    terms = mixture("", {name: LossRecipe.model_validate(value) for name, value in losses.items()}, head.closed)
    return Distillation(student(outputs), terms, of, teacher.sample(), head, LOADER)


def student(outputs: int = 16) -> Network:
    return create("resnet8", size=32, outputs=outputs, width=0.5)


def together(method: str, head: HeadRecipe = HEAD, **partner: Any) -> Together:
    """A student beside a teacher that is trained too."""
    outputs = 8 if head.closed else 16
    mixed = mixture(method, {}, head.closed)
    return Together(student(outputs), student(outputs), mixed, PartnerRecipe(**partner), head, LOADER)


def beside(name: str) -> dict[str, float]:
    """What a loss of faces is not usually without."""
    return {"labels": 0.1} if kind_of(name).faces and not kind_of(name).alone else {}


OPEN = [name for name in names() if not kind_of(name).logits]
CLOSED = [name for name in names() if not kind_of(name).faces]
"""The losses of embeddings, and those of a closed set."""
SLOW = {"vid", "nkd"}
"""Losses whose least value lies far above 0: a variance that must be learnt first, or the teacher's own entropy."""
METHODS: dict[str, Callable[[], Method]] = {
    "labels alone": lambda: Labels(student(), HEAD, 8),
    "labels of a closed set alone": lambda: Labels(student(8), SOFTMAX, 8),
    **{name: partial(distillation, {name: kind_of(name).weight, **beside(name)}) for name in OPEN},
    **{f"{name} of a closed set, and labels":
       partial(distillation, {name: kind_of(name).weight, "labels": 0.1}, 8, SOFTMAX) for name in CLOSED},
    "l2 of raw embeddings": lambda: distillation({"l2": {"normalize": False}}),
    "everything": lambda: distillation({**dict.fromkeys(OPEN, 0.5), "labels": 0.1}),
    "everything of a closed set": lambda: distillation({**dict.fromkeys(CLOSED, 0.5), "labels": 0.1}, 8, SOFTMAX),
    "prokt": lambda: together("prokt"),
    "prokt of a closed set": lambda: together("prokt", SOFTMAX, uniform=False),
    "prokt of a closed set, dual": lambda: together("prokt", SOFTMAX, uniform=False, mode="dual", slack=0.1),
    "dml": lambda: together("dml"),
    "dml of a closed set, and rkd": lambda: together("dml + rkd", SOFTMAX),
    "projection": lambda: distillation({"l2": 1}, outputs=8),
    "projection, and everything": lambda: distillation({**dict.fromkeys(OPEN, 0.5), "labels": 0.1}, outputs=8),
}


@pytest.fixture(scope="module")
def batch() -> Batch:
    return next(LOADER.epoch(0))


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Method]:
    def seeded(seed: int) -> Method:
        torch.manual_seed(seed)
        method = METHODS[request.param]()
        method.begin(Stage(1, (0,)))
        return method

    return seeded


def total(method: Method, batch: Batch) -> Tensor:
    return torch.stack([term for turn in method.turns(batch, 0.5) for term in turn().values()]).sum()


def test_losses_are_float32_scalars(make: Callable[[int], Method], batch: Batch) -> None:
    turns = [turn() for turn in make(0).turns(batch, 0.0)]
    assert turns and all(turns)
    assert all((value.shape, value.dtype) == ((), torch.float32) for turn in turns for value in turn.values())


def test_losses_are_float32_scalars_under_autocast(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    with torch.autocast("cpu", torch.bfloat16):
        losses = method.losses(batch, 0.0)
    assert all((v.shape, v.dtype, bool(v.isfinite())) == ((), torch.float32, True) for v in losses.values())


def test_a_few_steps_lower_the_loss(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    first = float(total(method, batch).detach())
    for _ in range(10):
        optimizer.zero_grad()
        total(method, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(method.parameters(), 5)
        optimizer.step()
    slow = set(method.losses(batch, 0.5)) <= SLOW | {"labels"}
    assert float(total(method, batch).detach()) < (0.99 if slow else 0.9) * first


def test_every_parameter_takes_part_unless_it_lies_behind_the_last_map(
    make: Callable[[int], Method], batch: Batch
) -> None:
    method = make(0)
    losses = method.losses(batch, 0.5)
    total(method, batch).backward()  # type: ignore[no-untyped-call]
    idle = {name for name, p in method.named_parameters() if p.requires_grad and p.grad is None}
    if all(name != "labels" and kind_of(name).maps for name in losses):
        idle = {name for name in idle if not name.startswith("student.")}
    assert idle == set()


def test_the_state_round_trips(make: Callable[[int], Method], batch: Batch) -> None:
    one, other = make(0).eval(), make(1).eval()
    assert not torch.equal(total(one, batch), total(other, batch))
    other.load_state_dict(one.state_dict())
    assert torch.equal(total(one, batch), total(other, batch))


def test_the_student_is_part_of_the_state_and_the_teacher_is_not(make: Callable[[int], Method]) -> None:
    method = make(0)
    parts = {name.partition(".")[0] for name in method.state_dict()}
    assert "student" in parts
    assert parts <= {"student", "head", "projection", "distances", "taught", "partner", "partner_head", "returned",
                     "beta"}


def test_no_gradient_reaches_the_teacher(make: Callable[[int], Method], batch: Batch) -> None:
    total(make(0), batch).backward()  # type: ignore[no-untyped-call]
    assert {leaf.grad for teacher in TEACHERS.values() for leaf in teacher.leaves} == {None}
