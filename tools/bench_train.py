"""Measure the cost of a training step: facekd's step and a plain eager loop with the same losses.

    python tools/bench_train.py --json OUT.json > OUT.txt
    python tools/bench_train.py --networks iresnet50 --batch 256 --peak 989 --json OUT.json > OUT.txt      with a GPU

``ours`` is the step of the training loop with ``machine.compile=true``: uint8 images are scaled on the device, weights
and feature maps are channels-last, the network is compiled, and the precision is that of the machine: float32 on a CPU,
bfloat16 on CUDA. ``plain`` is a simple loop: a float32 network in NCHW, loss, backward, clipping, SGD, with the default
settings of torch. On CUDA it is also timed under autocast to bfloat16, and on a CPU ``ours`` also without compiling.

All variants begin with the same weights, train on the same random images and take turns, step by step; the median step
counts. The losses of a variant in float32 must agree with those of ``plain`` to a relative difference of 1e-3, or the
exit status is 1. ``--peak`` is the peak of the device in the precision of ``ours``, in TFLOP/s without sparsity. The
TFLOP/s of a step are those of its convolutions and linear layers: 6 per multiply-add of an image, of which the forward
pass is 2.
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

from facekd.config import HeadRecipe, MachineRecipe, TrainingRecipe
from facekd.data.loading.loader import Batch
from facekd.io.files import write_json
from facekd.methods.supervised import Supervised
from facekd.models.complexity import count_macs
from facekd.models.registry import create
from facekd.training.machine import Machine
from facekd.training.train_step import TrainStep
from facekd.utils.environment import hardware

TOLERANCE = 1e-3
"""Largest relative difference of the losses."""
LEARNING_RATE = 1e-3
"""With a higher learning rate rounding errors would grow from step to step."""
Step = Callable[[Batch], Tensor]
"""A function that trains on a batch and returns the loss."""


def facekd_step(method: Supervised, recipe: MachineRecipe) -> Step:
    """Return the step of the training loop."""
    machine = Machine(recipe)
    method.to(machine.device)
    for network in method.networks:
        machine.prepare(network)
    train_step = TrainStep(method, TrainingRecipe(), machine, machine.build_grad_scaler(), None)
    return lambda batch: train_step(batch, LEARNING_RATE, 0.0)[0]["loss"]


def plain_step(method: Supervised, device: torch.device, context: AbstractContextManager[Any] | None = None) -> Step:
    """Return the step of a simple loop."""
    method.to(device)
    recipe = TrainingRecipe()
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD([
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ], lr=LEARNING_RATE, momentum=recipe.momentum)

    def step(batch: Batch) -> Tensor:
        images = batch.images.to(device).permute(0, 3, 1, 2).contiguous().float().sub(127.5).div(127.5)
        optimizer.zero_grad()
        with context or nullcontext():
            loss = method.head.loss(method.student(images), batch.labels.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        for module in (method.student, method.head):
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_grad_norm)
        optimizer.step()
        return loss.detach()

    return step


def variants(args: argparse.Namespace, name: str, device: torch.device) -> dict[str, Step]:
    """Return the steps of one network by name, the plain step first."""
    torch.manual_seed(0)
    method = Supervised(create(name, size=args.size, outputs=args.embedding), HeadRecipe(), args.classes)
    compiled = {"ours": facekd_step(copy.deepcopy(method), MachineRecipe(device=args.device, compile=True))}
    first = {"plain": plain_step(copy.deepcopy(method), device)}
    if device.type != "cuda":
        return first | {"ours, not compiled": facekd_step(method, MachineRecipe(device=args.device))} | compiled
    return first | {"plain, bfloat16": plain_step(method, device, torch.autocast("cuda", torch.bfloat16))} | compiled


def bench(args: argparse.Namespace, name: str, device: torch.device) -> dict[str, Any]:
    """Time all variants of training one network, and return the figures."""
    steps = variants(args, name, device)
    generator = torch.Generator().manual_seed(1)
    seconds: dict[str, list[float]] = {variant: [] for variant in steps}
    losses: dict[str, list[float]] = {variant: [] for variant in steps}
    for _ in range(args.warmup + args.steps):
        batch = _random_batch(args, generator)
        for variant, step in steps.items():
            start = time.perf_counter()
            losses[variant].append(float(step(batch)))  # float() waits for the device
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[variant].append(time.perf_counter() - start)
    return {"flop": 6 * args.batch * count_macs(create(name, size=args.size, outputs=args.embedding), args.size),
            "variants": {variant: {"seconds": [round(value, 4) for value in seconds[variant]],
                                   "median": statistics.median(seconds[variant][args.warmup :]),
                                   "loss": _relative_difference(losses[variant], losses["plain"])}
                         for variant in steps}}


def _random_batch(args: argparse.Namespace, generator: torch.Generator) -> Batch:
    images = torch.randint(256, (args.batch, args.size, args.size, 3), dtype=torch.uint8, generator=generator)
    labels = torch.randint(args.classes, (args.batch,), generator=generator)
    return Batch(images, labels, torch.arange(args.batch), torch.zeros(args.batch, dtype=torch.int64))


def _relative_difference(losses: list[float], reference: list[float]) -> float:
    """Return the largest difference from the reference, relative to it."""
    return max(abs(loss - expected) / abs(expected) for loss, expected in zip(losses, reference, strict=True))


def describe(report: dict[str, Any]) -> str:
    """Return the figures as text."""
    lines = [f"batch {report['batch']}, {report['size']} px, {report['classes']:,} classes, {report['hardware']}, "
             f"torch {report['torch']}", f"{'':<34}ms/step   ratio  img/s  TFLOP/s  loss differs"]
    for name, figures in report["networks"].items():
        base = figures["variants"]["plain"]["median"]
        for variant, row in figures["variants"].items():
            rate = figures["flop"] / row["median"] / 1e12
            share = f", {rate / report['peak']:.0%} of the peak" if report["peak"] and variant == "ours" else ""
            lines.append(f"{name:<14}{variant:<19}{1000 * row['median']:>8.1f}{row['median'] / base:>8.2f}"
                         f"{report['batch'] / row['median']:>7.0f}{rate:>9.3f}{row['loss']:>14.1e}{share}")
        first = figures["variants"]["ours"]["seconds"][0]
        lines.append(f"{'':<14}ours, first step (compiles, or reads the compiler cache): {first:.0f} s")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command line, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["mobilefacenet", "iresnet18", "iresnet50"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--embedding", type=int, default=512)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=2, help="untimed steps of each variant")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--peak", type=float, default=0.0, help="peak TFLOP/s of the device in the precision of ours")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    machine = Machine(MachineRecipe(device=args.device))
    report: dict[str, Any] = {"hardware": hardware()["label"], "torch": torch.__version__, "batch": args.batch,
                              "size": args.size, "classes": args.classes, "peak": args.peak, "networks": {}}
    for name in args.networks:
        torch.compiler.reset()
        report["networks"][name] = bench(args, name, machine.device)
        if args.json:
            write_json(Path(args.json), report)
    sys.stdout.write(describe(report))
    if machine.dtype != torch.float32:
        return 0
    differences = [row["loss"] for figures in report["networks"].values() for row in figures["variants"].values()]
    return int(max(differences) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
