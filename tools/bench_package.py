"""Compare the files of a package with the plain ONNX export of the network: size, cosine, accuracy lost, latency.

    python tools/bench_package.py RUN PACKAGE OUT.csv [--rounds 200]

RUN is the run folder or .safetensors file that was exported to PACKAGE. The plain export is the file that
``torch.onnx.export(network)`` writes, opened as facekd opens every ONNX file. All files that run on this machine are
timed in the same rounds on one thread, one image at a time; sizes, cosines and accuracies are those recorded in the
package. Sizes are relative to the float32 ONNX file of the package, times to the plain export.
"""

import argparse
import csv
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from facekd.api.deploy.bench import bench
from facekd.deploy.package import Package, read_package
from facekd.deploy.suppress_output import suppress_output
from facekd.io import files
from facekd.models.weights import load_model
from facekd.run import Run

HEADER = ["file", "MB", "of fp32", "cosine, mean", "least", "accuracy, %", "points lost [95 %]", "status", "ms",
          "of the plain export [95 %]"]


def plain_export(model: Path, out: Path) -> None:
    """Write the ONNX export of torch without any option of facekd."""
    network = load_model(Run(model).model if model.is_dir() else model).eval()
    size = network.spec.size
    with suppress_output():
        torch.onnx.export(network, (torch.zeros(2, 3, size, size),), out, dynamo=True, external_data=False,
                          input_names=["input"], dynamic_shapes=({0: torch.export.Dim("batch")},))


def format_row(title: str, entry: Mapping[str, Any], float_bytes: int, row: Mapping[str, Any] | None) -> list[str]:
    """Return a row of the table.

    Args:
        title: the title of the file in the package.
        entry: the metadata of the file.
        float_bytes: the size of the float32 ONNX file.
        row: the timings of the file; None if it does not run on this machine.
    """
    validation = entry["validation"]
    line = [title, f"{entry['bytes'] / 1e6:.2f}", f"{entry['bytes'] / float_bytes:.2f}"]
    if row is None:
        return [*line, *["not run"] * (len(HEADER) - len(line))]
    cosine = validation["cosine"]["crops"]["1"]
    verification = validation["verification"]
    drop = verification["drop"]["accuracy"]
    low, high = drop["interval"]
    (timing,) = row["timed"]
    ratio_low, ratio_high = timing["ratio_interval"]
    return [*line, f"{cosine['mean']:.4f}", f"{cosine['minimum']:.4f}",
            f"{100 * verification['file']['accuracy']:.2f}", f"{drop['points']:+.2f} [{low:+.2f}, {high:+.2f}]",
            validation["status"], f"{timing['median_ms']:.2f}",
            f"{timing['ratio']:.2f} [{ratio_low:.2f}, {ratio_high:.2f}]"]


def table(package: Package, benchmark: Mapping[str, Any]) -> str:
    """Return the table as CSV."""
    rows = {row["title"]: row for row in benchmark["rows"]}
    reference = benchmark["reference"]
    (timing,) = rows[reference]["timed"]
    entries = package.metadata["files"]
    float_bytes = entries["onnx fp32"]["bytes"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    size = rows[reference]["bytes"]
    not_measured = [""] * 5
    writer.writerow(["plain export", f"{size / 1e6:.2f}", f"{size / float_bytes:.2f}", *not_measured,
                     f"{timing['median_ms']:.2f}", "1"])
    writer.writerows(format_row(title, entry, float_bytes, rows.get(title)) for title, entry in entries.items())
    return text.getvalue()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    package = read_package(args.package)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plain.onnx"
        plain_export(args.run, file)
        benchmark = bench(args.package, file, threads=[1], repeats=args.rounds)
    text = table(package, benchmark)
    files.write_text(args.out, text)
    print(text)
    print(f"load {benchmark['load']['average']:.1f} on {benchmark['load']['cores']} cores")


if __name__ == "__main__":
    main()
