"""Measure memory per rank and seconds per step of the partial FC head and of the full head, by classes and ranks.

    python tools/bench_partial_fc.py --classes 10000 100000 1000000 --dim 512 --json OUT.json > OUT.txt

A step is loss, gradients and SGD with momentum of the head alone, on a random batch. All variants have the same batch,
split over the ranks, which are processes with one thread each: with more ranks than cores, the time no longer falls.
The median step of the slowest rank counts. Memory is the peak of a rank, with its first step, above its memory before
the head was created (Linux only). The last table has the memory per additional class, measured and calculated.

The calculated figures are for a rank with C classes in its shard, of which S are sampled, dimension D and N samples:

* GFLOP: 6 N S D, three products of 2 N S D; one gives the cosines, and two give the gradients;
* peak memory in float32: weight and momentum, 2 C D, and the largest of three phases of a step. At the loss there are
  the normalized class centers, cosines, logits, softmax and its gradient, S D + 4 N S. In the backward pass through the
  normalization autograd holds 5 S D. When the gradient of the sampled classes is scattered into that of all classes,
  there are both gradients and 64-bit indices, C D + 3 S D. Memory that BLAS allocates is not counted.
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from facekd.distributed import barrier, gather_objects, get_rank, get_world_size, init_distributed, shard_range
from facekd.heads import HEADS
from facekd.heads.margin_head import MarginHead
from facekd.heads.partial_fc import PartialFCHead
from facekd.io.files import write_json
from facekd.utils.environment import hardware

MIB = 2**20


def variants(args: argparse.Namespace, world_size: int) -> list[tuple[int, float, bool]]:
    """Return what a number of ranks measures: classes, sample rate, and whether it is the full head."""
    rows = []
    for classes in args.classes:
        if world_size == 1:
            rows.append((classes, 1.0, True))
        rows += [(classes, rate, False) for rate in args.rates]
    return rows


def measure(args: argparse.Namespace) -> None:
    """Measure all variants in one rank; rank 0 prints a line of JSON per variant."""
    init_distributed()
    world_size = get_world_size()
    torch.set_num_threads(1)
    measure_step(args, 1000, 1.0, False)  # loads the libraries that the first step needs
    for classes, rate, full in variants(args, world_size):
        measurements = gather_objects(measure_step(args, classes, rate, full))
        if measurements is not None:
            seconds, peak_bytes, losses = map(list, zip(*measurements, strict=True))
            row = {"classes": classes, "head": "full" if full else f"rate {rate:g}", "ranks": world_size,
                   "seconds": max(seconds), "bytes": max(peak_bytes), "loss": losses[0]}
            sys.stdout.write(json.dumps(row | calculate(args, -(-classes // world_size), rate)) + "\n")


def measure_step(args: argparse.Namespace, classes: int, rate: float, full: bool) -> tuple[float, int, float]:
    """Return the seconds of the median step, the bytes at the peak, and the last loss of this rank."""
    torch.manual_seed(0)
    local_rows = shard_range(args.batch, get_rank(), get_world_size())
    embeddings = torch.randn(args.batch, args.dim)[local_rows].requires_grad_()
    labels = torch.randint(classes, (args.batch,))[local_rows]
    ctypes.CDLL(None).malloc_trim(0)  # returns the memory that the previous variant freed
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    initial_bytes = _peak_bytes()
    margin = HEADS["arcface"]()
    head = MarginHead(args.dim, classes, margin) if full else PartialFCHead(args.dim, classes, margin, sample_rate=rate)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    seconds = []
    loss = torch.zeros(())
    for _ in range(args.steps + 1):
        barrier()
        start = time.perf_counter()
        loss = head.loss(embeddings, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), _peak_bytes() - initial_bytes, float(loss.detach())


def calculate(args: argparse.Namespace, shard_classes: int, rate: float) -> dict[str, float]:
    """Return the calculated GFLOP and bytes of a rank with a number of classes; see the module docstring."""
    sampled = rate * shard_classes
    phases = [(args.dim + 4 * args.batch) * sampled, 5 * sampled * args.dim]
    if rate < 1:
        phases.append((shard_classes + 3 * sampled) * args.dim)
    return {"gflop": 6e-9 * args.batch * sampled * args.dim,
            "calculated": 4 * (2 * shard_classes * args.dim + max(phases))}


def _peak_bytes() -> int:
    """Return the peak resident memory of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def run(ranks: int) -> list[dict[str, Any]]:
    """Measure all variants with a number of ranks, each in a process, and return their rows."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", __file__,
               *sys.argv[1:], "--measure"]
    completed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    return [json.loads(line) for line in completed.stdout.splitlines()]


def describe(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    return (f"{row['classes']:>9,} {row['head']:>9} {row['ranks']:>5} {1000 * row['seconds']:>9.1f} "
            f"{row['gflop'] / row['seconds']:>9.1f} {row['bytes'] / MIB:>9.0f} {row['calculated'] / MIB:>11.0f} "
            f"{row['bytes'] / row['calculated']:>6.2f} {row['loss']:>9.4f}\n")


def growth(rows: list[dict[str, Any]]) -> list[str]:
    """Return a table of the bytes per additional class of a shard, between the fewest and the most classes."""
    lines = [f"{'':>9}      head ranks   bytes a class  calculated  ratio\n"]
    for head, ranks in dict.fromkeys((row["head"], row["ranks"]) for row in rows):
        head_rows = [row for row in rows if (row["head"], row["ranks"]) == (head, ranks)]
        few = min(head_rows, key=lambda row: row["classes"])
        many = max(head_rows, key=lambda row: row["classes"])
        classes = (many["classes"] - few["classes"]) / ranks
        if classes:
            measured, calculated = ((many[key] - few[key]) / classes for key in ("bytes", "calculated"))
            lines.append(f"{'':>9} {head:>9} {ranks:>5} {measured:>15,.0f} {calculated:>11,.0f} "
                         f"{measured / calculated:>6.2f}\n")
    return lines


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64, help="number of samples, summed over all ranks")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args)
        return
    report: dict[str, Any] = {"hardware": hardware()["label"], "torch": torch.__version__, "dim": args.dim,
                              "batch": args.batch, "rows": [row for ranks in args.ranks for row in run(ranks)]}
    sys.stdout.write(f"batch {args.batch}, {args.dim} numbers, {report['hardware']}, torch {report['torch']}\n"
                     "  classes      head ranks   ms/step  GFLOP/s  MiB/rank  calculated  ratio      loss\n")
    sys.stdout.writelines(map(describe, sorted(report["rows"], key=lambda row: row["classes"])))
    sys.stdout.writelines(["\n", *growth(report["rows"])])
    if args.json:
        write_json(Path(args.json), report)


if __name__ == "__main__":
    main()
