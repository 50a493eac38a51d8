"""Two, three and four processes train as one does: the same losses, weights, class centers and statistics.

Each number of processes is one call of torchrun; the tests compare the run folders.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, MachineRecipe, TrainingRecipe
from facekd.distributed import barrier, get_rank, get_world_size, init_distributed
from facekd.methods.supervised import Supervised
from facekd.models.registry import ModelSpec, Network
from facekd.run import Run
from facekd.training import checkpoint, trainer
from facekd.training.machine import Machine
from facekd.training.method import Stage
from facekd.training.train_step import TrainStep
from facekd.training.trainer import Trainer
from tests.methods.noise import noise_loader

STEPS, BATCH = 20, 12
RECIPES: dict[str, dict[str, Any]] = {
    "frozen": {"ema_decay": 0.9}, "synced": {"sync_batchnorm": True}, "accumulated": {"gradient_accumulation_steps": 2},
    "one-cycle": {"cycle": "run"},
    "local": {"learning_rate": 1e-12}, "single-frozen": {}, "single-synced": {"sync_batchnorm": True},
}
"""Batch statistics are ``frozen``, also with gradient accumulation and over two stages of one cycle; ``synced`` over
all processes; or ``local`` to each process, in a network that does not move. Float64, so that differences are not
rounding, which a network multiplies early in training; ``single`` is float32."""
FROZEN = ("frozen", "accumulated", "one-cycle", "single-frozen")
WORLD_SIZES = (2, 3, 4)


class Tiny(Network):
    """Both kinds of batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = ModelSpec("tiny", 32, 16)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4, bias=False), nn.BatchNorm2d(8), nn.PReLU(8), nn.Flatten(),
                                    nn.Linear(392, 16), nn.BatchNorm1d(16))

    def preprocess(self, images: Tensor) -> Tensor:
        return super().preprocess(images).to(self.layers[0].weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class FrozenStatistics(Supervised):
    """Batch norms are in evaluation mode if ``frozen``."""

    def __init__(self, frozen: bool, dtype: torch.dtype, **head: Any) -> None:
        torch.manual_seed(0)
        super().__init__(Tiny(), HeadRecipe(scale=16, **head), 8)
        self.frozen = frozen
        self.to(dtype)

    def train(self, mode: bool = True) -> FrozenStatistics:
        super().train(mode)
        for module in self.student.modules():
            if self.frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def train(folder: Path, case: str, **head: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    batch_size = BATCH * RECIPES[case].get("gradient_accumulation_steps", 1)
    loader = noise_loader(batch_size, get_rank(), get_world_size())
    epochs = STEPS / loader.steps_per_epoch
    values = {"learning_rate": 0.02, "warmup_epochs": 0, **RECIPES[case]}
    recipe = TrainingRecipe(epochs=epochs, batch_size=BATCH, **values)
    dtype = torch.float32 if case.startswith("single") else torch.float64
    method = FrozenStatistics(case in FROZEN, dtype, **head)
    machine = Machine(MachineRecipe(device="cpu", threads=1))
    ends = [epochs / 2, epochs] if recipe.cycle == "run" else [epochs]
    Trainer(Run(folder), method, lambda number: Stage(ends[number]), loader, recipe, machine).fit()


class MachineLost(Exception):
    """Ends a training in place of a lost machine."""


def stop_at(step: int) -> Callable[..., Any]:
    original, steps = TrainStep.__call__, 0

    def fail_at_step(self: TrainStep, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == step:
            raise MachineLost
        return original(self, *arguments)

    return fail_at_step


def work(folder: Path) -> None:
    """Train all cases, in each process."""
    init_distributed()
    torch.set_num_threads(1)
    trainer.LOG_EVERY_STEPS = 1
    world_size = get_world_size()
    for case in RECIPES:
        train(folder / f"{case}-{world_size}", case)
    train(folder / f"sampled-{world_size}", "frozen", sample_rate=0.3, sub_centers=2)
    if world_size == 2:
        train(folder / "moved", "frozen")
    if world_size == 4:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(MachineLost):
            patch.setattr(TrainStep, "__call__", stop_at(14))
            train(folder / "moved", "frozen")
        # The exception keeps the DistributedDataParallel of the lost training alive. Destroyed after the process group,
        # at the end of the interpreter, it can abort the process.
        gc.collect()
        barrier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> Path:
    """Runs by one process (this), and by 4, 3 and 2; two processes continue a run that four processes began."""
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LOG_EVERY_STEPS", 1)
        for case in RECIPES:
            train(folder / f"{case}-1", case)
        train(folder / "sampled-1", "frozen", sample_rate=0.3, sub_centers=2)
    for world in sorted(WORLD_SIZES, reverse=True):
        torchrun(world, "tests.training.test_trainer_distributed", folder)
    return folder


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in Run(run).read_log()]


def state(run: Path) -> dict[str, Any]:
    newest = checkpoint.load_newest(Run(run).checkpoints)
    assert newest and newest[1]["position"][2] == 20
    return newest[1]


@pytest.mark.parametrize("world", WORLD_SIZES)
@pytest.mark.parametrize("case", ["frozen", "synced", "accumulated", "one-cycle", "sampled"])
def test_processes_have_the_losses_of_one(folder: Path, case: str, world: int) -> None:
    one = losses(folder / f"{case}-1")
    assert len(one) == 20 and one[-1] < 0.8 * one[0]  # it is no standstill that is compared
    assert losses(folder / f"{case}-{world}") == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("world", WORLD_SIZES)
@pytest.mark.parametrize("case", ["single-frozen", "single-synced"])
def test_in_float32_the_losses_agree_to_a_hundred_thousandth(folder: Path, case: str, world: int) -> None:
    assert losses(folder / f"{case}-{world}") == pytest.approx(losses(folder / f"{case}-1"), rel=1e-5)


@pytest.mark.parametrize("world", WORLD_SIZES)
@pytest.mark.parametrize("case", ["frozen", "synced", "accumulated", "one-cycle", "sampled"])
def test_they_end_with_its_weights_centers_momentum_and_ema(folder: Path, case: str, world: int) -> None:
    one, many = state(folder / f"{case}-1"), state(folder / f"{case}-{world}")
    for part in ("method", "optimizer", "ema"):
        torch.testing.assert_close(many[part], one[part], rtol=1e-6, atol=1e-8)
    assert many["method"]["head.weight"].shape == (8 * (2 if case == "sampled" else 1), 16)


@pytest.mark.parametrize("world", WORLD_SIZES)
def test_of_local_statistics_the_mean_is_kept(folder: Path, world: int) -> None:
    one, many = (state(folder / f"local-{n}")["method"] for n in (1, world))
    mean, variance = (f"student.layers.1.running_{kind}" for kind in ("mean", "var"))
    torch.testing.assert_close(many[mean], one[mean], rtol=1e-6, atol=1e-8)
    assert (many[variance] < one[variance]).any()  # within parts the spread is smaller than over all


def test_two_processes_continue_what_four_began(folder: Path) -> None:
    assert losses(folder / "moved") == pytest.approx(losses(folder / "frozen-1"), rel=1e-6)
    one, moved = state(folder / "frozen-1"), state(folder / "moved")
    for part in ("method", "optimizer"):
        torch.testing.assert_close(moved[part], one[part], rtol=1e-6, atol=1e-8)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
