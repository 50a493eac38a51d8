"""What a head in shards costs, beside the full head: memory of a rank, and seconds a step, as classes and ranks grow.

    python tools/bench_partial_fc.py --classes 10000 100000 1000000 --dim 512 --json OUT.json > OUT.txt

A step is loss, gradients and SGD with momentum, of the head alone, on a random batch; all ways have the same batch,
split over the ranks, which are processes with one thread each: with more of them than cores, time no longer falls. The
median step counts, of the slowest rank; memory is the most that a rank held beyond what it held before the head was
made, its first step included (Linux only). The last table says what each further class takes, measured and calculated.

Beside them stands what is calculated for a rank with C classes of the shard, S of them met, D numbers and N samples:

* GFLOP: 6 N S D, three products of 2 N S D, of which one is the cosines and two are gradients;
* memory at the peak, in float32: weight and momentum, 2 C D, and the most of three moments in a step. At the loss these
  are the centres of unit length, cosines, logits, softmax and their gradient, S D + 4 N S; where the gradient goes back
  through the length of centres, autograd holds 5 S D; and where what was met goes back among all classes, the gradient
  of all, of those met and 64-bit places for it, C D + 3 S D. What BLAS takes for itself is not counted.
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

from facekd.distributed import gathered, part, place, wait
from facekd.heads import HEADS
from facekd.heads.margin_head import MarginHead
from facekd.heads.partial_fc import ShardedHead
from facekd.run import hardware
from facekd.utils.files import write_json

MIB = 2**20


def ways(a: argparse.Namespace, world: int) -> list[tuple[int, float, bool]]:
    """Classes, rate, and whether it is the full head, of what so many ranks measure."""
    return [way for classes in a.classes
            for way in [(classes, 1.0, True)] * (world == 1) + [(classes, rate, False) for rate in a.rates]]


def measure(a: argparse.Namespace) -> None:
    """What each rank does; the first one prints a line of JSON for every way."""
    _, world = place()
    torch.set_num_threads(1)
    step(a, 1000, 1.0, False)  # whatever is loaded with the first step
    for classes, rate, full in ways(a, world):
        found = gathered(step(a, classes, rate, full))
        if found is not None:
            seconds, held, losses = map(list, zip(*found, strict=True))
            row = {"classes": classes, "way": "full" if full else f"rate {rate:g}", "ranks": world,
                   "seconds": max(seconds), "bytes": max(held), "loss": losses[0]}
            sys.stdout.write(json.dumps(row | calculated(a, -(-classes // world), rate)) + "\n")


def step(a: argparse.Namespace, classes: int, rate: float, full: bool) -> tuple[float, int, float]:
    """Seconds of the median step, bytes at the peak, and the last loss, of this rank."""
    torch.manual_seed(0)
    mine = part(a.batch, *place())
    embeddings = torch.randn(a.batch, a.dim)[mine].requires_grad_()
    labels = torch.randint(classes, (a.batch,))[mine]
    ctypes.CDLL(None).malloc_trim(0)  # what the way before has freed is no room for this one
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak()
    margin = HEADS["arcface"]()
    head = MarginHead(a.dim, classes, margin) if full else ShardedHead(a.dim, classes, margin, rate=rate)
    optimizer, seconds, loss = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9), [], torch.zeros(())
    for _ in range(a.steps + 1):
        wait()
        begun = time.perf_counter()
        loss = head.loss(embeddings, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:]), _peak() - before, float(loss.detach())


def calculated(a: argparse.Namespace, held: int, rate: float) -> dict[str, float]:
    """What a rank should need that holds so many classes; see the top."""
    met = rate * held
    moments = [(a.dim + 4 * a.batch) * met, 5 * met * a.dim, (held + 3 * met) * a.dim if rate < 1 else 0]
    return {"gflop": 6e-9 * a.batch * met * a.dim, "calculated": 4 * (2 * held * a.dim + max(moments))}


def _peak() -> int:
    """The most bytes that this process held at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def run(ranks: int) -> list[dict[str, Any]]:
    """All ways of so many ranks, in processes of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", __file__,
               *sys.argv[1:], "--measure"]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})
    return [json.loads(line) for line in ended.stdout.splitlines()]


def describe(row: dict[str, Any]) -> str:
    """A line of the table."""
    return (f"{row['classes']:>9,} {row['way']:>9} {row['ranks']:>5} {1000 * row['seconds']:>9.1f} "
            f"{row['gflop'] / row['seconds']:>9.1f} {row['bytes'] / MIB:>9.0f} {row['calculated'] / MIB:>11.0f} "
            f"{row['bytes'] / row['calculated']:>6.2f} {row['loss']:>9.4f}\n")


def growth(rows: list[dict[str, Any]]) -> list[str]:
    """Bytes of a rank for each further class of its shard, from the fewest classes to the most, as a table."""
    lines = [f"{'':>9}      head ranks   bytes a class  calculated  ratio\n"]
    for way, ranks in dict.fromkeys((row["way"], row["ranks"]) for row in rows):
        alike = [row for row in rows if (row["way"], row["ranks"]) == (way, ranks)]
        few, many = (pick(alike, key=lambda row: row["classes"]) for pick in (min, max))
        classes = (many["classes"] - few["classes"]) / ranks
        if classes:
            found, expected = ((many[key] - few[key]) / classes for key in ("bytes", "calculated"))
            lines.append(f"{'':>9} {way:>9} {ranks:>5} {found:>15,.0f} {expected:>11,.0f} {found / expected:>6.2f}\n")
    return lines


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64, help="of all ranks")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.measure:
        measure(a)
        return
    report: dict[str, Any] = {"hardware": hardware()["label"], "torch": torch.__version__, "dim": a.dim,
                              "batch": a.batch, "rows": [row for ranks in a.ranks for row in run(ranks)]}
    sys.stdout.write(f"batch {a.batch}, {a.dim} numbers, {report['hardware']}, torch {report['torch']}\n"
                     "  classes      head ranks   ms/step  GFLOP/s  MiB/rank  calculated  ratio      loss\n")
    sys.stdout.writelines(map(describe, sorted(report["rows"], key=lambda row: row["classes"])))
    sys.stdout.writelines(["\n", *growth(report["rows"])])
    if a.json:
        write_json(Path(a.json), report)


if __name__ == "__main__":
    main()
