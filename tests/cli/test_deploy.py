from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facekd.api.compare import Comparison
from facekd.deploy.package import Package
from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]
RecordCalls = Callable[..., list[RecordedCall]]
EXPORT_DEFAULTS: dict[str, Any] = {
    "calibration": None, "pairs": None, "images": None, "name": None, "targets": ["onnx"], "precisions": [],
    "gates": [], "against": None, "input_dtype": "float", "l2_normalized": False, "detector": None, "qat_epochs": None,
    "licenses": {},
}


@pytest.fixture
def export_calls(record_calls: RecordCalls) -> list[RecordedCall]:
    """The calls of ``export``, which exports nothing."""
    package = Package(Path("p"), {"parameters": 1, "macs": 1, "files": {}})
    return record_calls("facekd.api.deploy.export.export", package)


def test_export_has_these_defaults(run_cli: RunCli, export_calls: list[RecordedCall]) -> None:
    assert run_cli("export", "run", "p") == 0
    assert export_calls == [(("run", "p"), EXPORT_DEFAULTS)]


def test_export_passes_on_its_options(run_cli: RunCli, export_calls: list[RecordedCall]) -> None:
    arguments = ("--to onnx,ncnn --precision fp32,int8 --calibration f --pairs c.csv --images i "
                 "--gate auc=1 --gate tar@1e-3=2 "
                 "--input-dtype uint8 --l2-normalize --name n --detector d --qat-epochs 2 "
                 "--against m --license weights=CC0 data=none --pixels raw")
    assert run_cli("export", "run", "p", *arguments.split()) == 0
    assert export_calls == [(("run", "p"), {
        "calibration": "f", "pairs": "c.csv", "images": "i", "name": "n", "targets": ["onnx", "ncnn"],
        "precisions": ["fp32", "int8"], "gates": ["auc=1", "tar@1e-3=2"], "against": "m",
        "input_dtype": "uint8", "l2_normalized": True, "detector": "d",
        "qat_epochs": 2, "licenses": {"weights": "CC0", "data": "none"}, "pixels": "raw"})]


@pytest.mark.parametrize("license_text", ["weights", "weights= "])
def test_a_license_without_text_is_refused(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], license_text: str
) -> None:
    assert run_cli("export", "run", "p", "--license", license_text) == 2
    assert "is not WHAT=LICENSE; give e.g. weights=CC-BY-4.0" in capsys.readouterr().err


def test_embed_passes_on_its_options(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.embed.embed", 12)
    arguments = "crops f.npy --model m --list l.txt --float16 --megaface-tree t --suffix _m.bin --no-labels"
    assert run_cli("embed", *arguments.split()) == 0
    assert calls == [(("crops", "f.npy", "m"), {
        "flip": True, "device": "auto", "image_list": "l.txt", "float16": True, "megaface_tree": "t",
        "suffix": "_m.bin", "labels": False})]
    assert capsys.readouterr().out.startswith("f.npy: 12 embeddings; ")


@pytest.mark.parametrize(("comparison", "lines"), [
    (Comparison(0.5, 0.4, "1e-2", "v.json"),
     ["similarity 0.500", "the same person (threshold 0.400 at FAR 1e-2, from v.json)"]),
    (Comparison(0.3, 0.4, None, "given"), ["similarity 0.300", "different people (threshold 0.400 as given)"]),
    (Comparison(0.3, None, None, "nothing measured"), ["similarity 0.300", "no verdict: nothing measured"]),
    (Comparison(0.5, 0.4, "1e-2", "v", 0.98), ["similarity 0.500, probability 0.980 of one person at equal priors",
                                               "the same person (threshold 0.400 at FAR 1e-2, from v)"]),
    (Comparison(0.5, None, None, "none", 0.9999), ["similarity 0.500, probability above 0.999 of one person at equal "
                                                   "priors", "no verdict: none"]),
    (Comparison(0.5, 0.4, "1e-2", "v", 0.2, 0.01), ["similarity 0.500, probability 0.200 of one person at a prior of "
                                                    "0.01", "the same person (threshold 0.400 at FAR 1e-2, from v)"]),
])
def test_compare_prints_a_verdict_where_a_threshold_is_known(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str], comparison: Comparison,
    lines: list[str],
) -> None:
    calls = record_calls("facekd.api.compare.compare", comparison)
    assert run_cli("compare", "a.jpg", "b.jpg", "--model", "m", "--aligned") == 0
    assert calls == [(("a.jpg", "b.jpg", "m"), {
        "detector": None, "far": None, "threshold": None, "result": None, "aligned": True, "prior": None})]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(("command", "positional", "options"), [
    ("report a b --out o --results r.csv", ("a", "b"), {"out": "o", "results": "r.csv"}),
    ("demo", ("runs/demo",), {}),
])
def test_report_and_demo_print_a_table_and_its_files(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str], command: str,
    positional: tuple[str, ...], options: dict[str, Any],
) -> None:
    name = command.split()[0]
    table = SimpleNamespace(to_rich=lambda: "a table")
    page = Path("report.html")
    calls = record_calls(f"facekd.api.{name}.{name}", (table, [page] if name == "report" else page))
    assert run_cli(*command.split()) == 0
    assert calls == [(positional, options)]
    assert capsys.readouterr().out.splitlines() == ["a table", f"{'report: ' if name == 'demo' else ''}report.html"]
