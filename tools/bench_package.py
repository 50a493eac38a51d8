"""A package's files beside the plain ONNX export of the same network: size, cosine, accuracy lost, time.

    python tools/bench_package.py RUN PACKAGE OUT.csv [--rounds 200]

RUN is what was exported to PACKAGE: a run folder or a .safetensors file. The plain export is what
``torch.onnx.export(network)`` writes by itself, opened as facekd opens every ONNX file. All files that run here are
timed in the same rounds on one thread, one image at a time; sizes, cosines and what is lost are those the package was
exported with. Ratios of sizes are to its float32 ONNX file, ratios of times to the plain export.
"""

import argparse
import csv
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from facekd.api.bench import bench
from facekd.deploy.package import Package, read_package
from facekd.deploy.quiet import quiet
from facekd.models.weights import load_model
from facekd.run import Run
from facekd.utils import files

HEAD = ["file", "MB", "of fp32", "cosine, mean", "least", "accuracy, %", "points lost [95 %]", "standing", "ms",
        "of the plain export [95 %]"]


def plain_export(model: Path, out: Path) -> None:
    """What torch writes of the network as it stands."""
    network = load_model(Run(model).model if model.is_dir() else model).eval()
    size = network.spec.size
    with quiet():
        torch.onnx.export(network, (torch.zeros(2, 3, size, size),), out, dynamo=True, external_data=False,
                          input_names=["input"], dynamic_shapes=({0: torch.export.Dim("batch")},))


def cells(title: str, entry: Mapping[str, Any], whole: int, row: Mapping[str, Any] | None) -> list[str]:
    """A line of the table; ``row`` is None where the file does not run here."""
    proof = entry["proof"]
    line = [title, f"{entry['bytes'] / 1e6:.2f}", f"{entry['bytes'] / whole:.2f}"]
    if row is None:
        return [*line, *["not run"] * (len(HEAD) - len(line))]
    near, tested = proof["cosine"]["crops"]["1"], proof["verification"]
    low, high = tested["drop"]["accuracy"]["interval"]
    lost = f"{tested['drop']['accuracy']['points']:+.2f} [{low:+.2f}, {high:+.2f}]"
    (timed,) = row["timed"]
    left, right = timed["ratio_interval"]
    return [*line, f"{near['mean']:.4f}", f"{near['minimum']:.4f}", f"{100 * tested['file']['accuracy']:.2f}", lost,
            proof["standing"], f"{timed['median_ms']:.2f}", f"{timed['ratio']:.2f} [{left:.2f}, {right:.2f}]"]


def table(package: Package, timed: Mapping[str, Any], reference: str) -> str:
    """The table as CSV."""
    rows = {row["title"]: row for row in timed["rows"]}
    (base,) = rows[reference]["timed"]
    entries = package.metadata["files"]
    whole = entries["onnx fp32"]["bytes"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerow(["plain export", f"{rows[reference]['bytes'] / 1e6:.2f}",
                     f"{rows[reference]['bytes'] / whole:.2f}", "", "", "", "", "", f"{base['median_ms']:.2f}", "1"])
    writer.writerows(cells(title, entry, whole, rows.get(title)) for title, entry in entries.items())
    return text.getvalue()


def main() -> None:
    """Time, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    a = parser.parse_args()
    package = read_package(a.package)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plain.onnx"
        plain_export(a.run, file)
        timed = bench(a.package, file, [1], a.rounds)
    text = table(package, timed, timed["reference"])
    files.write_text(a.out, text)
    print(text)
    print(f"load {timed['load']['average']:.1f} on {timed['load']['cores']} cores")


if __name__ == "__main__":
    main()
