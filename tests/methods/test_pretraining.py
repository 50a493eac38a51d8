from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, LossRecipe, MachineRecipe, TrainingRecipe
from facekd.data.loading.loader import Batch
from facekd.losses import Loss
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import parse_objective
from facekd.methods.pretraining import MAX_GRAD_NORM, losses_to_pretrain, pretrain_on_teacher
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.trainer import Trainer
from facekd.types import BatchContext, DatasetSize, ModelOutput
from tests.methods.noise import noise_loader

LOADER = noise_loader()
"""Six steps an epoch, 8 images each."""
CPU = torch.device("cpu")
SOFTMAX = HeadRecipe(name="softmax")
State = dict[str, Tensor]


def state_of(module: nn.Module) -> State:
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(before: State, module: nn.Module) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


class Autoencoder(Loss):
    """A linear layer and a batch norm learn to reproduce the teacher's outputs; records the batches and the modes."""

    name = "autoencoder"

    def __init__(self, epochs: float, scale: float = 1.0, silent: bool = False) -> None:
        example = ModelOutput(torch.zeros(2, 4))
        super().__init__(example, example, DatasetSize(48, 8))
        torch.manual_seed(0)
        self.regressor = nn.Linear(4, 4)
        encoder = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.teacher_modules["encoder"] = encoder.eval().requires_grad_(False)
        self.pretrain_epochs = epochs
        self.scale = scale
        self.silent = silent
        self.contexts: list[BatchContext] = []
        self.modes: set[bool] = set()

    def pretrain_loss(self, teacher: ModelOutput, context: BatchContext) -> Tensor | None:
        self.contexts.append(context)
        self.modes |= {module.training for module in self.teacher_modules.modules()}
        reproduced = self.teacher_modules["encoder"](teacher.outputs)
        return None if self.silent else self.scale * (reproduced - teacher.outputs).square().mean()

    def forward(self, student: ModelOutput, teacher: ModelOutput, context: BatchContext) -> Tensor:
        raise AssertionError("the pretraining has no student")


OUTPUTS = 3 + 2 * torch.randn(48, 4, generator=torch.Generator().manual_seed(1))


def teacher_output(batch: Batch) -> ModelOutput:
    return ModelOutput(OUTPUTS[batch.index])


def pretrained(epochs: float = 2.0, scale: float = 1.0, silent: bool = False) -> Autoencoder:
    loss = Autoencoder(epochs, scale, silent)
    pretrain_on_teacher(loss, teacher_output, LOADER, CPU)
    return loss


def error(loss: Autoencoder) -> float:
    return float((loss.teacher_modules["encoder"](OUTPUTS) - OUTPUTS).square().mean())


def test_teacher_modules_and_their_statistics_learn_and_what_follows_the_student_does_not() -> None:
    loss = Autoencoder(2)
    before, error_before = state_of(loss), error(loss)
    pretrain_on_teacher(loss, teacher_output, LOADER, CPU)
    assert changed(before, loss) == {f"teacher_modules.encoder.{name}" for name in (
        "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked")}
    assert error(loss) < 0.9 * error_before


def test_teacher_modules_are_in_training_mode_in_the_pretraining_and_at_no_other_time() -> None:
    loss = pretrained()
    assert loss.modes == {True}
    assert {module.training for module in loss.teacher_modules.modules()} == {False}
    assert {module.training for module in loss.train().teacher_modules.modules()} == {False}


def test_teacher_modules_are_frozen_again() -> None:
    loss = pretrained()
    assert {p.requires_grad for p in loss.teacher_modules.parameters()} == {False}
    assert {p.requires_grad for p in loss.regressor.parameters()} == {True}


def test_no_gradient_is_left_behind() -> None:
    """The trainer clips the gradients of all losses together: those of a pretraining must not be among them."""
    assert {p.grad for p in pretrained().parameters()} == {None}


@pytest.mark.parametrize(("epochs", "batches"), [(1, 6), (2, 12), (0.5, 3), (0.2, 2), (0.01, 1), (1.01, 7)])
def test_so_many_batches_are_shown(epochs: float, batches: int) -> None:
    contexts = pretrained(epochs).contexts
    assert len(contexts) == batches
    assert [context.progress for context in contexts] == pytest.approx([step / batches for step in range(batches)])
    truth = list(LOADER.iter_steps(0, batches))
    assert all(torch.equal(context.index, batch.index) and torch.equal(context.labels, batch.labels)
               for context, batch in zip(contexts, truth, strict=True))


def test_a_repeated_pretraining_has_the_same_result() -> None:
    assert changed(state_of(pretrained()), pretrained()) == set()


def test_a_step_is_no_longer_than_learning_rate_times_clip() -> None:
    loss = Autoencoder(0.1, scale=1e6)  # one step
    before = [p.detach().clone() for p in loss.teacher_modules.parameters()]
    pretrain_on_teacher(loss, teacher_output, LOADER, CPU)
    moved = torch.cat([(p - b).flatten() for p, b in zip(loss.teacher_modules.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.1 * MAX_GRAD_NORM, rel=1e-4)


def test_without_a_loss_value_no_weight_moves() -> None:
    loss = Autoencoder(1)
    before = state_of(loss)
    loss.silent = True
    pretrain_on_teacher(loss, teacher_output, LOADER, CPU)
    assert changed(before, loss) == {
        f"teacher_modules.encoder.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}


def test_only_losses_with_pretraining_epochs_are_pretrained() -> None:
    loss, idle = Autoencoder(0.5), Autoencoder(0)
    assert losses_to_pretrain(nn.ModuleDict({"loss": loss, "idle": idle, "other": nn.Identity()})) == [loss]


class TableTeacher(Teacher):
    """Random outputs of a seed, with two feature maps."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.dimension = 8
        self.outputs = torch.randn(48, 8, generator=generator)
        self.feature_maps = tuple(torch.randn(48, 6, side, side, generator=generator) for side in (8, 4))

    def forward(self, batch: Batch) -> ModelOutput:
        return self._rows(batch.index)

    def example_output(self) -> ModelOutput:
        return self._rows(torch.arange(2))

    def _rows(self, index: Tensor) -> ModelOutput:
        return ModelOutput(self.outputs[index], tuple(m[index] for m in self.feature_maps), self.outputs[index])


TEACHERS = {number: TableTeacher(number) for number in range(3)}


def teacher_for(points: Sequence[int]) -> Teacher:
    return TEACHERS[points[0]]


def distillation(losses: dict[str, Any], head: HeadRecipe = SOFTMAX) -> Distillation:
    torch.manual_seed(0)
    student = create("resnet8", size=32, outputs=8, width=0.5)
    recipes = {name: LossRecipe.model_validate(value) for name, value in losses.items()}
    objective = parse_objective("", recipes, head.closed_set)
    return build_distillation(student, objective, teacher_for, TEACHERS[0].example_output(), head, LOADER)


@pytest.fixture
def pretrained_losses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the losses that were pretrained, in order."""
    names: list[str] = []

    def record(loss: Loss, *arguments: Any) -> None:
        names.append(loss.name)
        pretrain_on_teacher(loss, *arguments)

    monkeypatch.setattr("facekd.methods.distillation.pretrain_on_teacher", record)
    return names


BOTH = {"ft": {"weight": 500, "pretrain_epochs": 0.5}, "ofd": 0.001, "hint": 1, "labels": 1}


def test_losses_are_pretrained_once_for_each_anchor(pretrained_losses: list[str]) -> None:
    method = distillation(BOTH)
    assert pretrained_losses == []
    for anchor, expected in ((1, 2), (1, 2), (2, 4), (1, 6)):
        method.on_stage_start(Stage(1, (anchor,)))
        assert len(pretrained_losses) == expected
    assert pretrained_losses == ["ft", "ofd"] * 3  # a hint has no pretraining


def test_a_resumed_run_finds_the_pretrained_modules_in_its_state(pretrained_losses: list[str]) -> None:
    first, resumed = distillation(BOTH), distillation(BOTH)
    first.on_stage_start(Stage(1, (1,)))
    resumed.load_state_dict(state_of(first))
    pretrained_losses.clear()
    resumed.on_stage_start(Stage(1, (1,)))
    assert pretrained_losses == []
    assert changed(state_of(first), resumed) == set()
    resumed.on_stage_start(Stage(1, (2,)))
    assert pretrained_losses == ["ft", "ofd"]


def test_the_pretraining_is_about_the_stages_anchor() -> None:
    margins = []
    for anchor in (0, 1, 1):
        method = distillation({"ofd": 1})
        method.on_stage_start(Stage(1, (anchor,)))
        margins.append(method.state_dict()["distillation_losses.ofd.connectors.1.margin"].clone())
    assert torch.equal(margins[1], margins[2]) and not torch.equal(margins[0], margins[1])
    # ofd's pretraining of a fifth of an epoch is two of the six batches of this loader
    maps = torch.cat([TEACHERS[1].forward(batch).feature_maps[1] for batch in LOADER.iter_steps(0, 2)]).double()
    means = [float(channel[channel < 0].mean()) for channel in maps.transpose(0, 1)]
    torch.testing.assert_close(margins[1].double(), torch.tensor(means, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_centers_of_identities_are_the_teachers_means() -> None:
    method = distillation({"proxyless-ours": 1}, HeadRecipe())
    method.on_stage_start(Stage(1, (2,)))
    outputs = TEACHERS[2].outputs.double()
    unit = outputs / outputs.norm(dim=1, keepdim=True)
    labels = torch.from_numpy(LOADER.images.labels)
    truth = torch.stack([unit[labels == identity].sum(0) for identity in range(8)])
    (sums,) = (value for name, value in method.state_dict().items() if name.endswith("sums"))
    torch.testing.assert_close(sums.double(), truth, rtol=1e-5, atol=1e-6)


def test_a_method_without_pretraining_stores_no_anchor() -> None:
    assert "pretrained_for" not in distillation({"hint": 1, "kd": 1}).state_dict()


def test_in_training_teacher_modules_stay_as_the_pretraining_left_them(tmp_path: Path) -> None:
    method = distillation(BOTH)
    method.on_stage_start(Stage(1, (1,)))
    teacher_modules = method.distillation_losses["ft"].teacher_modules
    assert isinstance(teacher_modules, nn.Module)
    before = state_of(teacher_modules)
    train(method, tmp_path, lambda number: Stage(2, (1,)))
    assert changed(before, teacher_modules) == set()


def train(method: Distillation, folder: Path, stages: Callable[[int], Stage], **values: Any) -> None:
    """Train two epochs of six steps; the norm limit is so low that a leftover gradient would change the result."""
    folder.mkdir(exist_ok=True)
    recipe = TrainingRecipe(epochs=2, batch_size=8, learning_rate=0.05, warmup_epochs=0, clip_grad_norm=0.5, **values)
    Trainer(Run(folder), method, stages, LOADER, recipe, Machine(MachineRecipe(device="cpu", threads=1))).fit()


def two_stages(number: int) -> Stage:
    """Nine steps with point 1, three with point 2; checkpoints at 6, 9 and 12."""
    return [Stage(1.5, (1,)), Stage(2, (2,))][number]


@pytest.fixture(scope="module")
def uninterrupted_states(tmp_path_factory: pytest.TempPathFactory) -> dict[str, State]:
    """The final states of runs that were not killed, by ``training.cycle``."""
    states = {}
    for cycle in ("stage", "run"):
        method = distillation(BOTH)
        train(method, tmp_path_factory.mktemp("uninterrupted"), two_stages, cycle=cycle)
        states[cycle] = state_of(method)
    return states


@pytest.mark.parametrize("cycle", ["stage", "run"])
@pytest.mark.parametrize("step", [
    2,  # in the first pretraining
    3 + 8,  # in stage 0, after its pretraining of three steps and a checkpoint
    3 + 9 + 2,  # in the second pretraining
    3 + 9 + 3 + 2,  # in stage 1, before its first checkpoint
])
def test_a_run_killed_in_a_pretraining_ends_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted_states: dict[str, State],
    kill_at_step: Callable[[int], AbstractContextManager[None]], step: int, cycle: str,
) -> None:
    with kill_at_step(step):
        train(distillation(BOTH), tmp_path, two_stages, cycle=cycle)
    resumed = distillation(BOTH)
    train(resumed, tmp_path, two_stages, cycle=cycle)
    assert changed(uninterrupted_states[cycle], resumed) == set()
    assert changed(uninterrupted_states["stage" if cycle == "run" else "run"], resumed)
