from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, ScheduleRecipe
from facekd.data.loading.loader import Batch
from facekd.losses import Loss
from facekd.methods import distillation
from facekd.methods.distillation import Distillation
from facekd.methods.objective import mixture
from facekd.methods.pretraining import CLIP, give_lessons
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.run import Run
from facekd.training.method import Stage
from facekd.training.trainer import Trainer
from facekd.types import Answer, Question, Size
from tests.methods.noise import noise

LOADER = noise()
"""Six steps an epoch, 8 images each."""
CPU = torch.device("cpu")
SOFTMAX = HeadRecipe(name="softmax")
State = dict[str, Tensor]


def state_of(module: nn.Module) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: State, module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


class Retelling(Loss):
    """A linear layer and a batch norm learn to retell the teacher's outputs; notes what it was shown, and how."""

    name = "retelling"

    def __init__(self, lessons: float, scale: float = 1.0, silent: bool = False) -> None:
        sample = Answer(torch.zeros(2, 4))
        super().__init__(sample, sample, Size(48, 8))
        torch.manual_seed(0)
        self.own = nn.Linear(4, 4)
        self.prepared["part"] = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval().requires_grad_(False)
        self.lessons, self.scale, self.silent = lessons, scale, silent
        self.seen: list[Question] = []
        self.modes: set[bool] = set()

    def lesson(self, teacher: Answer, question: Question) -> Tensor | None:
        self.seen.append(question)
        self.modes |= {module.training for module in self.prepared.modules()}
        retold = self.prepared["part"](teacher.outputs)
        return None if self.silent else self.scale * (retold - teacher.outputs).square().mean()

    def forward(self, student: Answer, teacher: Answer, question: Question) -> Tensor:
        raise AssertionError("lessons have no student")


OUTPUTS = 3 + 2 * torch.randn(48, 4, generator=torch.Generator().manual_seed(1))


def answer(batch: Batch) -> Answer:
    return Answer(OUTPUTS[batch.index])


def taught(lessons: float = 2.0, scale: float = 1.0, silent: bool = False) -> Retelling:
    loss = Retelling(lessons, scale, silent)
    give_lessons(loss, answer, LOADER, CPU)
    return loss


def miss(loss: Retelling) -> float:
    return float((loss.prepared["part"](OUTPUTS) - OUTPUTS).square().mean())


def test_parts_and_their_statistics_learn_and_what_follows_the_student_does_not() -> None:
    loss = Retelling(2)
    before, miss_before = state_of(loss), miss(loss)
    give_lessons(loss, answer, LOADER, CPU)
    assert changed(before, loss) == {f"prepared.part.{name}" for name in (
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")}
    assert miss(loss) < 0.9 * miss_before


def test_parts_are_in_training_mode_in_lessons_and_at_no_other_time() -> None:
    loss = taught()
    assert loss.modes == {True}
    assert {module.training for module in loss.prepared.modules()} == {False}
    assert {module.training for module in loss.train().prepared.modules()} == {False}


def test_parts_are_frozen_again() -> None:
    loss = taught()
    assert {p.requires_grad for p in loss.prepared.parameters()} == {False}
    assert {p.requires_grad for p in loss.own.parameters()} == {True}


def test_no_gradient_is_left_behind() -> None:
    """The loop clips the losses' gradients together: those of lessons long past are none of its business."""
    assert {p.grad for p in taught().parameters()} == {None}


@pytest.mark.parametrize(("lessons", "batches"), [(1, 6), (2, 12), (0.5, 3), (0.2, 2), (0.01, 1), (1.01, 7)])
def test_so_many_batches_are_shown(lessons: float, batches: int) -> None:
    seen = taught(lessons).seen
    assert len(seen) == batches
    assert [question.done for question in seen] == pytest.approx([step / batches for step in range(batches)])
    truth = list(LOADER.run(0, batches))
    assert all(torch.equal(q.index, batch.index) and torch.equal(q.labels, batch.labels)
               for q, batch in zip(seen, truth, strict=True))


def test_the_same_lessons_teach_the_same() -> None:
    assert changed(state_of(taught()), taught()) == set()


def test_a_step_is_no_longer_than_rate_times_clip() -> None:
    loss = Retelling(0.1, scale=1e6)  # one step
    before = [p.detach().clone() for p in loss.prepared.parameters()]
    give_lessons(loss, answer, LOADER, CPU)
    moved = torch.cat([(p - b).flatten() for p, b in zip(loss.prepared.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.1 * CLIP, rel=1e-4)


def test_where_looking_is_enough_no_weight_moves() -> None:
    loss = Retelling(1)
    before = state_of(loss)
    loss.silent = True
    give_lessons(loss, answer, LOADER, CPU)
    assert changed(before, loss) == {
        f"prepared.part.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


class Table(Teacher):
    """Answers drawn from a seed, with two maps."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.dimension = 8
        self.outputs = torch.randn(48, 8, generator=generator)
        self.maps = tuple(torch.randn(48, 6, side, side, generator=generator) for side in (8, 4))

    def answer(self, batch: Batch) -> Answer:
        return Answer(self.outputs[batch.index], tuple(m[batch.index] for m in self.maps), self.outputs[batch.index])

    def sample(self) -> Answer:
        return Answer(self.outputs[:2], tuple(m[:2] for m in self.maps), self.outputs[:2])


TEACHERS = {number: Table(number) for number in range(3)}


def of(points: Sequence[int]) -> Teacher:
    return TEACHERS[points[0]]


def method(losses: dict[str, Any], head: HeadRecipe = SOFTMAX) -> Distillation:
    torch.manual_seed(0)
    student = create("resnet8", size=32, outputs=8, width=0.5)
    mixed = mixture("", {name: LossRecipe.model_validate(value) for name, value in losses.items()}, head.closed)
    return Distillation(student, mixed, of, TEACHERS[0].sample(), head, LOADER)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The losses that were given lessons."""
    names: list[str] = []

    def give(loss: Loss, *rest: Any) -> None:
        names.append(loss.name)
        give_lessons(loss, *rest)

    monkeypatch.setattr(distillation, "give_lessons", give)
    return names


BOTH = {"ft": {"weight": 500, "lessons": 0.5}, "ofd": 0.001, "hint": 1, "labels": 1}


def test_lessons_are_given_once_for_each_anchor(given: list[str]) -> None:
    one = method(BOTH)
    assert given == []
    for anchor, expected in ((1, 2), (1, 2), (2, 4), (1, 6)):
        one.begin(Stage(1, (anchor,)))
        assert len(given) == expected
    assert given == ["ft", "ofd"] * 3  # a hint has none


def test_a_resumed_run_finds_what_was_learnt_in_its_state(given: list[str]) -> None:
    one, other = method(BOTH), method(BOTH)
    one.begin(Stage(1, (1,)))
    other.load_state_dict(state_of(one))
    given.clear()
    other.begin(Stage(1, (1,)))
    assert given == []
    assert changed(state_of(one), other) == set()
    other.begin(Stage(1, (2,)))
    assert given == ["ft", "ofd"]


def test_lessons_are_about_the_stages_anchor() -> None:
    states = []
    for anchor in (0, 1, 1):
        one = method({"ofd": 1})
        one.begin(Stage(1, (anchor,)))
        states.append(one.state_dict()["distances.ofd.connectors.1.margin"].clone())
    assert torch.equal(states[1], states[2]) and not torch.equal(states[0], states[1])
    # ofd's lessons of a fifth of an epoch are two of the six batches here
    shown = torch.cat([TEACHERS[1].answer(batch).maps[1] for batch in LOADER.run(0, 2)]).double()
    means = [float(channel[channel < 0].mean()) for channel in shown.transpose(0, 1)]
    torch.testing.assert_close(states[1].double(), torch.tensor(means, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_centres_of_people_are_the_teachers_means() -> None:
    one = method({"proxyless-ours": 1}, HeadRecipe())
    one.begin(Stage(1, (2,)))
    outputs = TEACHERS[2].outputs.double()
    unit = outputs / outputs.norm(dim=1, keepdim=True)
    labels = torch.from_numpy(LOADER.images.labels)
    truth = torch.stack([unit[labels == person].sum(0) for person in range(8)])
    (sums,) = (value for name, value in one.state_dict().items() if name.endswith("sums"))
    torch.testing.assert_close(sums.double(), truth, rtol=1e-5, atol=1e-6)


def test_a_method_without_pupils_remembers_no_anchor() -> None:
    assert "taught" not in method({"hint": 1, "kd": 1}).state_dict()


def test_in_training_what_is_prepared_stays_as_the_lessons_left_it(tmp_path: Path) -> None:
    one = method(BOTH)
    one.begin(Stage(1, (1,)))
    part = one.distances["ft"].prepared
    assert isinstance(part, nn.Module)
    before = state_of(part)
    train(one, tmp_path, lambda number: Stage(2, (1,)))
    assert changed(before, part) == set()


def train(one: Distillation, folder: Path, stages: Callable[[int], Stage]) -> None:
    """Two epochs of six steps; gradients are clipped so that all that is clipped together matters."""
    folder.mkdir(exist_ok=True)
    schedule = ScheduleRecipe(epochs=2, batch=8, learning_rate=0.05, warmup=0, clip=0.5)
    Trainer(Run(folder), one, stages, LOADER, schedule, MachineRecipe(device="cpu", threads=1)).fit()


def two(number: int) -> Stage:
    """Nine steps after point 1, three after point 2; checkpoints at 6, 9 and 12."""
    return [Stage(1.5, (1,)), Stage(2, (2,))][number]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> State:
    """What a run that nobody stopped ends with."""
    one = method(BOTH)
    train(one, tmp_path_factory.mktemp("whole"), two)
    return state_of(one)


@pytest.mark.parametrize("stumble", [
    2,  # in the first lessons
    3 + 8,  # in stage 0, after its lessons of three steps and a checkpoint
    3 + 9 + 2,  # in the second lessons
    3 + 9 + 3 + 2,  # in stage 1, before its first checkpoint
])
def test_a_run_killed_among_lessons_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: State, kill_at_step: Callable[[int], AbstractContextManager[None]], stumble: int
) -> None:
    with kill_at_step(stumble):
        train(method(BOTH), tmp_path, two)
    continued = method(BOTH)
    train(continued, tmp_path, two)
    assert changed(whole, continued) == set()
