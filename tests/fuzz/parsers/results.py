"""Results: run folders in reports, packages, tables of results, and the logs of phones."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import yaml

from facekd.api.compare import compare as compare_faces
from facekd.api.evaluate.stored_rows import read_rows as read_earlier
from facekd.deploy.benchmark.phone_logs import parse_phone_log
from facekd.deploy.package import VERSION as PACKAGE_VERSION
from facekd.deploy.package import read_package
from facekd.deploy.targets.ncnn import read_param
from facekd.io import files
from facekd.models.weights import save_model
from facekd.reporting.comparison import compare, write_comparison
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.result_set import results_page
from facekd.reporting.results.rows import Row, result_row
from facekd.reporting.run_data import load_run_data
from facekd.reporting.run_report import write_report
from facekd.route.route import VERSION as ROUTE_VERSION
from facekd.run import VERSION as RUN_VERSION
from tests.fuzz.parser import Files, Parser, collect
from tests.fuzz.parsers.networks import SIZE, tiny_network
from tests.fuzz.parsers.pictures import picture
from tests.fuzz.parsers.samples import (
    SOURCE,
    classify_result,
    ijb_result,
    megaface_result,
    open_set_result,
    package_metadata,
    verify_result,
)

DRAWN = 32
"""One input in this many is drawn as a page: that takes 100 times as long as reading it."""


def _run_seeds(folder: Path) -> Sequence[Files]:
    anchor = {"stage_reason": "equal", "share": 0.5, "step": 0, "learning_rate": 0.02, "epoch": 1.0}
    info = {
        "command": "distill", "outcome": "finished", "started": "2026-01-02T03:04:05+0000",
        "finished": "2026-01-02T04:04:05+0000", "versions": {"python": "3.11", "torch": "2.13", "onnxruntime": None},
        "git": "abc1234", "hardware": {"label": "cpu2", "processor": "CPU", "cores": 2, "cards": []},
        "command_line": "facekd distill out=x", "parameters": 849, "losses": "l2 40", "strategy": "equal",
        "dataset": {"content": "f00d" * 16, "classes": 2, "images": 9},
        "model": {"name": "mlp", "size": 32, "outputs": 4, "options": {"hidden": 8}},
        "anchors": [{**anchor, "point": point} for point in ("0", "0 and 1")],
    }
    log = [{"step": 10 * line, "epoch": line / 2, "stage": line // 3, "learning_rate": 0.1, "seconds_per_step": 0.5,
            "loss": 20 / line, "l2": 15 / line} for line in range(1, 6)]
    points = [{"epoch": float(epoch), "step": epoch, "learning_rate": 0.1, "reason": "epoch",
               "file": f"{epoch}.safetensors", "sha256": "ab" * 32, "metrics": {"loss": 1.0}} for epoch in (1, 2)]
    recipe = {"dataset": "faces/train", "plan": "plan.json", "out": "x", "training": {"epochs": 2}, "seed": 0}
    files.write_versioned(folder / "run.json", "run", RUN_VERSION, info)
    files.write_versioned(folder / "route" / "route.json", "route", ROUTE_VERSION, {"model": None, "points": points})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    results = {
        "verify-cfp-ff": verify_result(), "megaface-cfp": megaface_result(), "classify-things": classify_result(),
        "ijb-ijbc": ijb_result(),
        "identify-staff": {**open_set_result(), "kind": "identify", "name": "staff", **SOURCE},
    }
    for name, content in results.items():
        files.write_json(folder / "results" / f"{name}.json", content)
    files.write_versioned(folder / "package" / "metadata.json", "package", PACKAGE_VERSION, package_metadata())
    return [collect(folder)]


def _read_report(folder: Path) -> None:
    run = load_run_data(folder)
    run.macs()
    table = compare([run])
    table.to_dict()
    table.to_html()
    str(table.to_text() if hasattr(table, "to_text") else table)
    result_row(run)
    digest = zlib.crc32(b"".join(file.read_bytes() for file in sorted((folder / "results").glob("*.json"))))
    if digest % DRAWN == 0:
        write_report(run)
        write_comparison(table, [run], folder / "out" / "comparison.html")


def _package_seeds(folder: Path) -> Sequence[Files]:
    metadata = package_metadata()
    for name in metadata["sha256"]:
        (folder / name).touch()
    files.write_versioned(folder / "metadata.json", "package", PACKAGE_VERSION, metadata)
    return [collect(folder)]


def _read_package(folder: Path) -> None:
    read_package(folder).describe()


def _table_seeds(folder: Path) -> Sequence[Files]:
    header = "name,seed,model,data,data_sha256,images,classes,epochs,hardware,things.top1,things.images"
    rows = [f"{name},{seed},{model},cifar,ab,50000,100,240,gpu,{rate},10000"
            for name, seed, model, rate in (("kd", 0, "resnet8x4", 0.73), ("kd", 1, "resnet8x4", 0.74),
                                            ("teacher", 0, "resnet32x4", 0.79))]
    published = "dataset,teacher,student,method,top1,source\ncifar100,resnet32x4,resnet8x4,kd,73.33,CRD\n"
    description = ("title: CIFAR-100\ntext: some text\ndataset: cifar100\nteacher: resnet32x4\n"
                   "student: resnet8x4\nbaseline: kd\ncomparable: true\n")
    return [{"runs/cifar.csv": "\n".join([header, *rows, ""]).encode(), "runs/cifar.yaml": description.encode(),
             "published/classes.csv": published.encode()}]


def _read_tables(folder: Path) -> None:
    results_page(folder)
    (folder / "copy").mkdir()
    if (folder / "runs" / "cifar.csv").exists():
        shutil.copyfile(folder / "runs" / "cifar.csv", folder / "copy" / "c.csv")
    row: Row = {"name": "rco", "seed": 0, "model": "m", "data_sha256": "ab", "things.top1": 0.5}
    upsert(folder / "copy" / "c.csv", [row])


def _phone_seeds(folder: Path) -> Sequence[Files]:
    ncnn = "loop_count = 8\nnum_threads = 4\n   m.param  min =    1.23  max =    1.50  avg =    1.30\n"
    litert = ("INFO: Graph: [/data/local/tmp/m.tflite]\nINFO: Num threads: [2]\n"
              "count=10 first=99 curr=3 min=1000 max=9000 avg=1200.5 std=3\n"
              "count=50 first=1 curr=3 min=1000 max=1900 avg=1200 std=3\nInference timings in us: Init: 1\n")
    return [{"log.txt": ncnn.encode()}, {"log.txt": litert.encode()}]


def _read_phone(folder: Path) -> None:
    file = folder / "log.txt"
    parse_phone_log(file.read_text(encoding="utf-8", errors="replace") if file.exists() else "", str(file))


def _earlier_seeds(folder: Path) -> Sequence[Files]:
    results = {"verify": verify_result(), "megaface": megaface_result(), "ijb": ijb_result()}
    rows = [{"set": "LFW", "name": "lfw", "protocol": protocol, "paths": ["a"], "status": "measured", "note": "",
             "key": protocol, "result": result, "figure": 0.9} for protocol, result in results.items()]
    return [{"all.json": json.dumps({"rows": rows}).encode()}]


def _threshold_seeds(folder: Path) -> Sequence[Files]:
    save_model(tiny_network(), folder / "model.safetensors")
    (folder / "face.png").write_bytes(picture(side=SIZE))
    files.write_json(folder / "results" / "verify-cfp.json", verify_result())
    return [collect(folder)]


def _read_threshold(folder: Path) -> None:
    compare_faces(folder / "face.png", folder / "face.png", folder, aligned=True, far="1e-2")


def _param_seeds(folder: Path) -> Sequence[Files]:
    layers = ("Input in0 0 1 in0", "Convolution conv_0 1 1 in0 1 0=4 1=3 11=3", "InnerProduct fc 1 1 1 out0 0=4 1=1")
    return [{"m.param": "\n".join(["7767517", "3 3", *layers, ""]).encode()}]


PARSERS = [
    Parser("report_run_folder", ["reporting/run_data.py", "reporting/result_records.py", "run.py"], _run_seeds,
           _read_report, {"*.json": "json", "*.yaml": "yaml", "*.jsonl": "json"}, scratch=["out", "report.html"]),
    Parser("package_json", ["deploy/package.py", "deploy/export.py", "api/deploy/export.py"], _package_seeds,
           _read_package, {"metadata.json": "json"}),
    Parser("results_csv_yaml",
           ["reporting/results/csv_file.py", "reporting/results/published.py", "reporting/results/result_set.py"],
           _table_seeds, _read_tables, {"*.csv": "text", "*.yaml": "yaml"}, scratch=["copy"], lines=200),
    Parser("phone_logs", ["deploy/benchmark/phone_logs.py", "api/deploy/bench.py"], _phone_seeds, _read_phone,
           {"log.txt": "text"}),
    Parser("earlier_results", ["api/evaluate/stored_rows.py"], _earlier_seeds,
           lambda folder: read_earlier([folder / "all.json"]), {"*.json": "json"}),
    Parser("thresholds", ["api/compare.py", "api/evaluate/stored_thresholds.py", "models/embedder.py"],
           _threshold_seeds, _read_threshold, {"*.json": "json", "*.png": "image"}),
    Parser("ncnn_param", ["deploy/targets/ncnn.py"], _param_seeds, lambda folder: read_param(folder / "m.param"),
           {"m.param": "text"}),
]
