"""What the loop expects of every method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, MimicRecipe
from facekd.data.faceset import open_faces
from facekd.data.loader import Batch, Loader
from facekd.methods.labels import Labels
from facekd.methods.mimic import Mimic
from facekd.models.registry import FaceModel, create
from facekd.route.teacher import Teacher
from facekd.training.method import Method, Stage

HEAD = HeadRecipe(scale=16)


class Table(Teacher):
    """Random embeddings, one an image; they would take a gradient if they were given one."""

    def __init__(self, seed: int, dimension: int = 16) -> None:
        self.dimension = dimension
        self.values = torch.randn(48, dimension, generator=torch.Generator().manual_seed(seed)).requires_grad_()

    def embeddings(self, batch: Batch) -> Tensor:
        return self.values[batch.index]


TEACHERS = {0: Table(0), 1: Table(1)}


def student(embedding: int = 16) -> FaceModel:
    return create("iresnet10", size=32, embedding=embedding, width=0.25)


def mimic(embedding: int = 16, **weights: float) -> Mimic:
    return Mimic(student(embedding), MimicRecipe.model_validate(weights), TEACHERS.__getitem__, 16, HEAD, 8)


METHODS: dict[str, Callable[[], Method]] = {
    "labels": lambda: Labels(student(), HEAD, 8),
    "l2": mimic,
    "l2 of raw embeddings": lambda: mimic(normalize=False),
    "cosine": lambda: mimic(l2=0, cosine=1),
    "everything": lambda: mimic(l2=1, cosine=0.5, labels=0.1),
    "projection": lambda: mimic(embedding=8),
    "projection and labels": lambda: mimic(embedding=8, labels=0.1),
}


@pytest.fixture(scope="module")
def batch(small_faces: Path) -> Batch:
    return next(Loader(open_faces(small_faces), 32, 8, seed=0).epoch(0))


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Method]:
    def seeded(seed: int) -> Method:
        torch.manual_seed(seed)
        method = METHODS[request.param]()
        method.begin(Stage(1, 0))
        return method

    return seeded


def total(method: Method, batch: Batch) -> Tensor:
    return torch.stack(list(method.losses(batch).values())).sum()


def test_losses_are_float32_scalars(make: Callable[[int], Method], batch: Batch) -> None:
    losses = make(0).losses(batch)
    assert losses
    assert all((value.shape, value.dtype) == ((), torch.float32) for value in losses.values())


def test_a_few_steps_lower_the_loss(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    first = float(total(method, batch).detach())
    for _ in range(10):
        optimizer.zero_grad()
        total(method, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(method.parameters(), 5)
        optimizer.step()
    assert float(total(method, batch).detach()) < 0.9 * first


def test_every_parameter_takes_part(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    total(method, batch).backward()  # type: ignore[no-untyped-call]
    assert [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_state_round_trips(make: Callable[[int], Method], batch: Batch) -> None:
    one, other = make(0).eval(), make(1).eval()
    assert not torch.equal(total(one, batch), total(other, batch))
    other.load_state_dict(one.state_dict())
    assert torch.equal(total(one, batch), total(other, batch))


def test_the_student_is_part_of_the_state_and_the_teacher_is_not(make: Callable[[int], Method]) -> None:
    method = make(0)
    parts = {name.partition(".")[0] for name in method.state_dict()}
    assert "student" in parts
    assert parts <= {"student", "head", "projection"}


def test_no_gradient_reaches_the_teacher(make: Callable[[int], Method], batch: Batch) -> None:
    total(make(0), batch).backward()  # type: ignore[no-untyped-call]
    assert TEACHERS[0].values.grad is None
