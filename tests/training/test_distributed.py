"""Two, three and four processes train as one does: the same losses, weights, class centres and statistics.

All that a number of processes does is one call of torchrun; the tests compare what it left in run folders.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, MachineRecipe, ScheduleRecipe
from facekd.distributed import place
from facekd.methods.supervised import Labels
from facekd.models.registry import ModelSpec, Network
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training import trainer as loop
from facekd.training.method import Stage
from facekd.training.train_step import Stepper
from facekd.training.trainer import Trainer
from tests.methods.noise import noise

STEPS, BATCH = 20, 12
SCHEDULES: dict[str, dict[str, Any]] = {
    "frozen": {"ema": 0.9}, "shared": {"shared_norm": True}, "accumulated": {"accumulate": 2},
    "own": {"learning_rate": 1e-12}, "single-frozen": {}, "single-shared": {"shared_norm": True},
}
"""``frozen`` batch statistics stand still, and so they do where a step has parts; ``own`` are each process's, of
a network that does not move. Float64, so that what differs is not rounding, which a young network multiplies;
``single`` is float32."""
FROZEN = ("frozen", "accumulated", "single-frozen")
WORLDS = (2, 3, 4)


class Tiny(Network):
    """Both kinds of batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = ModelSpec("tiny", 32, 16)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4, bias=False), nn.BatchNorm2d(8), nn.PReLU(8), nn.Flatten(),
                                    nn.Linear(392, 16), nn.BatchNorm1d(16))

    def inputs(self, images: Tensor) -> Tensor:
        return super().inputs(images).to(self.layers[0].weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Still(Labels):
    """Batch statistics stand still where asked."""

    def __init__(self, frozen: bool, dtype: torch.dtype, **head: Any) -> None:
        torch.manual_seed(0)
        super().__init__(Tiny(), HeadRecipe(scale=16, **head), 8)
        self.frozen = frozen
        self.to(dtype)

    def train(self, mode: bool = True) -> Still:
        super().train(mode)
        for module in self.student.modules():
            if self.frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def train(folder: Path, case: str, **head: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    loader = noise(BATCH * SCHEDULES[case].get("accumulate", 1), place())
    epochs = STEPS / loader.steps
    values = {"learning_rate": 0.02, "warmup": 0, **SCHEDULES[case]}
    schedule = ScheduleRecipe(epochs=epochs, batch=BATCH, **values)
    method = Still(case in FROZEN, torch.float32 if case.startswith("single") else torch.float64, **head)
    machine = MachineRecipe(device="cpu", threads=1)
    Trainer(Run(folder), method, lambda number: Stage(epochs), loader, schedule, machine).fit()


class Lost(Exception):
    """What ends a training in place of a lost machine."""


def stop_at(step: int) -> Callable[..., Any]:
    real, taken = Stepper.__call__, 0

    def stumble(self: Stepper, *arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == step:
            raise Lost
        return real(self, *arguments)

    return stumble


def work(folder: Path) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    loop.LOG_STEPS = 1
    world = place()[1]
    for case in SCHEDULES:
        train(folder / f"{case}-{world}", case)
    train(folder / f"drawn-{world}", "frozen", rate=0.3, centres=2)
    if world == 2:
        train(folder / "moved", "frozen")
    if world == 4:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Lost):
            patch.setattr(Stepper, "__call__", stop_at(14))
            train(folder / "moved", "frozen")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> Path:
    """Runs by one process (this), and by 4, 3 and 2; those of 2 go on with what 4 had half done."""
    folder = tmp_path_factory.mktemp("distributed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_STEPS", 1)
        for case in SCHEDULES:
            train(folder / f"{case}-1", case)
        train(folder / "drawn-1", "frozen", rate=0.3, centres=2)
    for world in sorted(WORLDS, reverse=True):
        torchrun(world, "tests.training.test_distributed", folder)
    return folder


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in Run(run).read_log()]


def state(run: Path) -> dict[str, Any]:
    found = checkpoint.newest(Run(run).checkpoints)
    assert found and found[1]["position"][2] == 20
    return found[1]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", ["frozen", "shared", "accumulated", "drawn"])
def test_processes_have_the_losses_of_one(folder: Path, case: str, world: int) -> None:
    one = losses(folder / f"{case}-1")
    assert len(one) == 20 and one[-1] < 0.8 * one[0]  # it is no standstill that is compared
    assert losses(folder / f"{case}-{world}") == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", ["single-frozen", "single-shared"])
def test_in_float32_the_losses_agree_to_a_hundred_thousandth(folder: Path, case: str, world: int) -> None:
    assert losses(folder / f"{case}-{world}") == pytest.approx(losses(folder / f"{case}-1"), rel=1e-5)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", ["frozen", "shared", "accumulated", "drawn"])
def test_they_end_with_its_weights_centres_momentum_and_mean(folder: Path, case: str, world: int) -> None:
    one, many = state(folder / f"{case}-1"), state(folder / f"{case}-{world}")
    for part in ("method", "optimizer", "average"):
        torch.testing.assert_close(many[part], one[part], rtol=1e-6, atol=1e-8)
    assert many["method"]["head.weight"].shape == (8 * (2 if case == "drawn" else 1), 16)


@pytest.mark.parametrize("world", WORLDS)
def test_of_own_statistics_the_mean_is_kept(folder: Path, world: int) -> None:
    one, many = (state(folder / f"own-{n}")["method"] for n in (1, world))
    mean, variance = (f"student.layers.1.running_{kind}" for kind in ("mean", "var"))
    torch.testing.assert_close(many[mean], one[mean], rtol=1e-6, atol=1e-8)
    assert (many[variance] < one[variance]).any()  # within parts the spread is smaller than over all


def test_two_processes_go_on_with_what_four_had_half_done(folder: Path) -> None:
    assert losses(folder / "moved") == pytest.approx(losses(folder / "frozen-1"), rel=1e-6)
    one, moved = state(folder / "frozen-1"), state(folder / "moved")
    for part in ("method", "optimizer"):
        torch.testing.assert_close(moved[part], one[part], rtol=1e-6, atol=1e-8)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
