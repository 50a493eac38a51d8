"""What the verbs do that make use of a trained model: one thin function a verb."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from facekd.cli.console import Command, out


def _export(a: argparse.Namespace) -> int:
    from facekd.api.export import export

    targets, precisions = ([part.strip() for part in text.split(",") if part.strip()] for text in (a.to, a.precision))
    package = export(a.model, a.out, a.calibration, a.pairs, a.images, a.name, targets, precisions, a.max_drop, a.input,
                     a.unit, a.detector, a.tune, dict(a.licence))
    out.print(package.describe())
    return 0


def _bench(a: argparse.Namespace) -> int:
    from facekd.api.bench import bench
    from facekd.reporting.tables.benchmark import bench_notes, bench_table

    result = bench(a.package, a.against, a.threads, a.repeats, a.warmup, a.device, a.json)
    out.print(bench_table(result), soft_wrap=False)
    out.print("\n".join(bench_notes(result)))
    return 0


def _report(a: argparse.Namespace) -> int:
    from facekd.api.report import report

    table, files = report(*a.runs, out=a.out, results=a.results)
    out.print(table.to_rich(), soft_wrap=False)
    for file in files:
        out.print(str(file))
    return 0


def _embed(a: argparse.Namespace) -> int:
    from facekd.api.embed import embed

    count = embed(a.folder, a.out, a.model, a.flip, a.device, a.listed, a.half, a.kit, a.ending)
    out.print(f"{a.out}: {count} embeddings; labels, names and facts lie beside it")
    return 0


def _compare(a: argparse.Namespace) -> int:
    from facekd.api.embed import compare

    found = compare(a.first, a.second, a.model, a.detector, a.far, a.threshold, a.aligned)
    out.print(f"similarity {found.similarity:.3f}")
    if found.same is None:
        out.print(f"no verdict: {found.source}")
    else:
        at = f"at FAR {found.far}, from {found.source}" if found.far else "as given"
        out.print(f"{'the same person' if found.same else 'different people'} (threshold {found.threshold:.3f} {at})")
    return 0


def _demo(a: argparse.Namespace) -> int:
    from facekd.api.demo import demo

    table, page = demo(Path(a.out))
    out.print(table.to_rich(), soft_wrap=False)
    out.print(f"report: {page}")
    return 0


USES: Mapping[str, Command] = {
    "export": _export, "bench": _bench, "report": _report, "embed": _embed, "compare": _compare, "demo": _demo,
}
