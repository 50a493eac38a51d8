"""What a training step costs: ours beside a plain eager loop that gives the same losses, for networks under a head.

    python tools/bench_train.py --json OUT.json > OUT.txt
    python tools/bench_train.py --networks iresnet50 --batch 256 --peak 989 --json OUT.json > OUT.txt      with a GPU

Ours is the step of the training loop with ``machine.compile=true``: uint8 images are scaled on the device, weights and
maps lie channels-last, the network is compiled, and the precision is the machine's: float32 on a CPU, bfloat16 on CUDA.
The plain step is what one writes first: a float32 network in NCHW, loss, backward, clipping, SGD, with torch's own
settings. On CUDA it is also timed under autocast to bfloat16, and on a CPU ours also without compiling.

All begin with the same weights, meet the same random images and take turns, step after step; the median step counts.
What is trained in float32 must give the plain step's losses to 1e-3 of their size, or the exit status is 1. ``--peak``
is what the device can do in the precision of ours, in TFLOP/s without sparsity; beside it stands what the convolutions
and linear layers of a step make: 6 for each multiply-add of an image, of which the forward pass is 2.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facekd.config import HeadRecipe, MachineRecipe, ScheduleRecipe
from facekd.data.loading.loader import Batch
from facekd.methods.supervised import Labels
from facekd.models.complexity import macs
from facekd.models.registry import create
from facekd.run import hardware
from facekd.training.machine import Machine
from facekd.training.train_step import Stepper
from facekd.utils.files import write_json

TOLERANCE = 1e-3
RATE = 1e-3
"""Learning rate: a higher one would let rounding grow from step to step."""
Step = Callable[[Batch], Tensor]
"""Trains on a batch; gives the loss."""


def ours(method: Labels, recipe: MachineRecipe) -> Step:
    """The step of the training loop."""
    machine = Machine(recipe)
    method.to(machine.device)
    for network in method.networks:
        machine.prepare(network)
    stepper = Stepper(method, ScheduleRecipe(), machine, machine.scaler(), None)
    return lambda batch: stepper(batch, RATE, 0.0)[0]["loss"]


def plain(method: Labels, device: torch.device, context: AbstractContextManager[Any] | None = None) -> Step:
    """The step that one writes first."""
    method.to(device)
    schedule, parts = ScheduleRecipe(), (method.student, method.head)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD([
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ], lr=RATE, momentum=schedule.momentum)

    def step(batch: Batch) -> Tensor:
        images = batch.images.to(device).permute(0, 3, 1, 2).contiguous().float().sub(127.5).div(127.5)
        optimizer.zero_grad()
        with context or nullcontext():
            loss = method.head.loss(method.student(images), batch.labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        for part in parts:
            nn.utils.clip_grad_norm_(part.parameters(), schedule.clip)
        optimizer.step()
        return loss.detach()

    return step


def ways(a: argparse.Namespace, name: str, device: torch.device) -> dict[str, Step]:
    """What is timed, the plain step first."""
    torch.manual_seed(0)
    method = Labels(create(name, size=a.size, outputs=a.embedding), HeadRecipe(), a.classes)
    compiled = {"ours": ours(copy.deepcopy(method), MachineRecipe(device=a.device, compile=True))}
    first = {"plain": plain(copy.deepcopy(method), device)}
    if device.type != "cuda":
        return first | {"ours, not compiled": ours(method, MachineRecipe(device=a.device))} | compiled
    return first | {"plain, bfloat16": plain(method, device, torch.autocast("cuda", torch.bfloat16))} | compiled


def bench(a: argparse.Namespace, name: str, device: torch.device) -> dict[str, Any]:
    """Time all ways of training one network."""
    steps, generator = ways(a, name, device), torch.Generator().manual_seed(1)
    seconds: dict[str, list[float]] = {way: [] for way in steps}
    losses: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(a.warm + a.steps):
        batch = _noise(a, generator)
        for way, step in steps.items():
            begun = time.perf_counter()
            losses[way].append(float(step(batch)))  # to have the number is to wait for the device
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - begun)
    return {"flop": 6 * a.batch * macs(create(name, size=a.size, outputs=a.embedding), a.size),
            "ways": {way: {"seconds": [round(taken, 4) for taken in seconds[way]],
                           "median": statistics.median(seconds[way][a.warm :]),
                           "loss": _apart(losses[way], losses["plain"])} for way in steps}}


def _noise(a: argparse.Namespace, generator: torch.Generator) -> Batch:
    images = torch.randint(256, (a.batch, a.size, a.size, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(a.classes, (a.batch,), generator=generator)
    return Batch(images, labels, torch.arange(a.batch), torch.zeros(a.batch, dtype=torch.int64))


def _apart(one: list[float], other: list[float]) -> float:
    """The largest difference, as a share of the other's size."""
    return max(abs(a - b) / abs(b) for a, b in zip(one, other, strict=True))


def describe(report: dict[str, Any]) -> str:
    """The figures as lines to read."""
    lines = [f"batch {report['batch']}, {report['size']} px, {report['classes']:,} classes, {report['hardware']}, "
             f"torch {report['torch']}", f"{'':<34}ms/step   ratio  img/s  TFLOP/s  loss differs"]
    for name, found in report["networks"].items():
        base = found["ways"]["plain"]["median"]
        for way, row in found["ways"].items():
            rate = found["flop"] / row["median"] / 1e12
            share = f", {rate / report['peak']:.0%} of the peak" if report["peak"] and way == "ours" else ""
            lines.append(f"{name:<14}{way:<19}{1000 * row['median']:>8.1f}{row['median'] / base:>8.2f}"
                         f"{report['batch'] / row['median']:>7.0f}{rate:>9.3f}{row['loss']:>14.1e}{share}")
        first = found["ways"]["ours"]["seconds"][0]
        lines.append(f"{'':<14}ours, its first step (compiles, or finds it compiled): {first:.0f} s")
    return "\n".join(lines) + "\n"


def main() -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["mobilefacenet", "iresnet18", "iresnet50"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--embedding", type=int, default=512)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--warm", type=int, default=2, help="steps of each before those that count")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOP/s of the device in the precision of ours")
    parser.add_argument("--json", help="write the figures to this file")
    a = parser.parse_args()
    machine = Machine(MachineRecipe(device=a.device))
    report: dict[str, Any] = {"hardware": hardware()["label"], "torch": torch.__version__, "batch": a.batch,
                              "size": a.size, "classes": a.classes, "peak": a.peak, "networks": {}}
    for name in a.networks:
        torch.compiler.reset()
        report["networks"][name] = bench(a, name, machine.device)
        if a.json:
            write_json(Path(a.json), report)
    sys.stdout.write(describe(report))
    exact = [row["loss"] for found in report["networks"].values() for row in found["ways"].values()
             if machine.dtype == torch.float32]
    return int(any(apart > TOLERANCE for apart in exact))


if __name__ == "__main__":
    sys.exit(main())
