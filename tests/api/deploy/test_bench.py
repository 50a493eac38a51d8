from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from facekd.api.deploy.bench import bench
from facekd.deploy.export import write_package
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.base import registered
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import ExportValidator
from facekd.errors import ExportError, ModelError
from tests.deploy.conftest import TinyNetwork, UnavailableTarget

ROUNDS: dict[str, Any] = {"repeats": 10, "warmup": 1}
PEAK_BYTES = 12_345_678
PHONE_LOG = "num_threads = 4\n  {}  min =    4.12  max =    5.50  avg =    4.30\n"


@pytest.fixture(scope="module", autouse=True)
def quiet_machine() -> Iterator[None]:
    """An idle machine of two cores, a target without a runtime, and no subprocess that measures memory."""
    with pytest.MonkeyPatch.context() as patch, registered(UnavailableTarget):
        patch.setattr("facekd.api.deploy.bench.peak_memory", lambda opener, runtime: PEAK_BYTES)
        patch.setattr("facekd.api.deploy.bench.hardware", lambda: {"cores": 2})
        patch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
        yield


@pytest.fixture(scope="module")
def package(quiet_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Package:
    torch.manual_seed(0)
    source = prepare_source(TinyNetwork(48), ExportFormat(), "tiny")
    return write_package(source, tmp_path_factory.mktemp("p") / "phone",
                         [("elsewhere", "fp32"), ("onnx", "fp16"), ("onnx", "fp32")], ExportValidator(source),
                         results={}, provenance={})


@pytest.fixture(scope="module")
def result(package: Package, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("json") / "bench.json"
    returned = bench(package.path, threads=[1], **ROUNDS, json=file)
    assert json.loads(file.read_text()) == json.loads(json.dumps(returned))
    return returned


def titles(result: dict[str, Any]) -> list[str]:
    return [row["title"] for row in result["rows"]]


def test_every_file_has_its_figures(result: dict[str, Any], package: Package) -> None:
    assert titles(result) == ["onnx fp16", "onnx fp32"]
    for row in result["rows"]:
        (latency,) = row["timed"]
        low, high = latency["quartiles_ms"]
        assert 0 < low <= latency["median_ms"] <= high <= latency["p95_ms"]
        assert latency["images_per_second"] == pytest.approx(1000 / latency["median_ms"])
        assert latency["ratio_interval"][0] <= latency["ratio"] <= latency["ratio_interval"][1]
        assert (latency["threads"], latency["repeats"], row["peak_bytes"]) == (1, 10, PEAK_BYTES)
        assert row["bytes"] == package.metadata["files"][row["title"]]["bytes"]
        assert (row["parameters"], row["macs"]) == (package.metadata["parameters"], package.metadata["macs"])


def test_ratios_are_to_the_float32_onnx_file(result: dict[str, Any]) -> None:
    assert result["reference"] == "onnx fp32"
    assert [row["timed"][0]["ratio"] == 1 for row in result["rows"]] == [False, True]


def test_what_does_not_run_is_named_with_the_reason(result: dict[str, Any]) -> None:
    assert result["not_run"] == {"elsewhere fp32": "it runs elsewhere only"}


def test_it_says_how_it_was_measured(result: dict[str, Any]) -> None:
    assert result["load"] == {"average": 0.5, "cores": 2, "busy": False}
    assert {"versions", "hardware", "command_line", "git"} <= set(result)
    assert set(result["rows"][0]["versions"]) == {"onnx", "onnxscript", "onnxruntime"}


@pytest.mark.parametrize(("cores", "threads", "timed"), [(2, (), [1, 2]), (1, (), [1]), (2, (3, 1, 3), [1, 3])])
def test_threads_are_one_and_all_cores_or_those_given(
    package: Package, monkeypatch: pytest.MonkeyPatch, cores: int, threads: Sequence[int], timed: list[int]
) -> None:
    monkeypatch.setattr("facekd.api.deploy.bench.hardware", lambda: {"cores": cores})
    row = bench(package.path, threads=threads, **ROUNDS)["rows"][0]
    assert [latency["threads"] for latency in row["timed"]] == timed


def test_any_onnx_file_can_be_the_reference(package: Package, tmp_path: Path) -> None:
    shutil.copy(package.path / "tiny.onnx", tmp_path / "plain.onnx")
    result = bench(package.path, tmp_path / "plain.onnx", threads=[1], **ROUNDS)
    assert (result["reference"], titles(result)) == ("plain.onnx", ["plain.onnx", "onnx fp16", "onnx fp32"])
    assert result["rows"][0]["timed"][0]["ratio"] == 1


def test_another_package_brings_all_its_files(package: Package, tmp_path: Path) -> None:
    other = shutil.copytree(package.path, tmp_path / "old")
    result = bench(package.path, other, threads=[1], **ROUNDS)
    assert titles(result) == ["old: onnx fp16", "old: onnx fp32", "onnx fp16", "onnx fp32"]
    assert result["reference"] == "old: onnx fp32"
    assert set(result["not_run"]) == {"elsewhere fp32", "old: elsewhere fp32"}


def test_timings_of_a_phone_are_named_after_their_file(package: Package, tmp_path: Path) -> None:
    phone = tmp_path / "pixel 8.txt"
    phone.write_text(PHONE_LOG.format("tiny.else") + PHONE_LOG.format("other.param"))
    result = bench(package.path, threads=[1], phone_logs=[phone], **ROUNDS)
    assert [(row["device"], row["file"], row["titles"], row["threads"]) for row in result["devices"]] == [
        ("pixel 8", "tiny.else", ["elsewhere fp32"], 4), ("pixel 8", "other.param", [], 4)
    ]
    assert result["devices"][0]["mean_ms"] == 4.3


def test_the_timing_of_a_tool_that_reads_no_weights_applies_to_all_files_of_its_target(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxTarget, "times_graph_only", True)
    (tmp_path / "p.txt").write_text(PHONE_LOG.format("tiny.fp16.onnx"))
    (row,) = bench(package.path, threads=[1], phone_logs=[tmp_path / "p.txt"], **ROUNDS)["devices"]
    assert row["titles"] == ["onnx fp16", "onnx fp32"]


def test_the_command_line_prints_one_table_and_what_it_means(
    run_cli: Callable[..., int], package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 0.5, 0.5))
    (tmp_path / "phone.txt").write_text(PHONE_LOG.format("tiny.else"))
    words = f"--threads 1 2 --repeats 10 --warmup 0 --phone-log {tmp_path / 'phone.txt'} --json {tmp_path / 'b.json'}"
    assert run_cli("bench", package.path, *words.split()) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "threads", "ms", "quartiles", "p95", "images/s", "of", "reference", "[95", "%]",
                            "MB", "peak", "MB"]
    assert [line.split()[:3] for line in lines[:4]] == [
        ["onnx", "fp16", "1"], ["onnx", "fp16", "2"], ["onnx", "fp32", "1"], ["onnx", "fp32", "2"]
    ]
    assert "1.00 [1.00, 1.00]" in lines[2] and lines[2].endswith(f" {PEAK_BYTES / 1e6:.1f} ")
    assert lines[4].split()[:6] == ["phone:", "elsewhere", "fp32", "4", "4.30", "4.12-5.50"]
    assert lines[5] == "reference: onnx fp32"
    assert "not run: elsewhere fp32 (it runs elsewhere only)" in lines
    assert lines[-1].startswith("warning: the machine was busy (load 3.0 on 2 cores)")
    assert json.loads((tmp_path / "b.json").read_text())["load"]["busy"]


def test_a_package_of_which_nothing_runs_here_is_refused(package: Package) -> None:
    class UnavailableOnnxTarget(UnavailableTarget):
        name = "onnx"

    message = r"no file of .* runs here: elsewhere fp32: it runs elsewhere only; onnx"
    with registered(UnavailableOnnxTarget), pytest.raises(ExportError, match=message):
        bench(package.path, **ROUNDS)


def test_a_changed_package_is_refused(package: Package, tmp_path: Path) -> None:
    copy = shutil.copytree(package.path, tmp_path / "p")
    (copy / "tiny.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match="is not what was exported"):
        bench(copy)


@pytest.mark.parametrize(("options", "message"), [
    ({"threads": [0]}, "threads .0., repeats 100 and warmup 10 are not valid"), ({"repeats": 9}, "10 rounds or more"),
    ({"warmup": -1}, "warm-up of 0 or more"), ({"phone_logs": ["absent.txt"]}, r"absent\.txt cannot be read"),
    ({"phone_logs": [__file__]}, "holds no line"),
])
def test_invalid_options_are_refused_before_anything_is_timed(
    package: Package, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr("facekd.api.deploy.bench.benchmark_rounds", None)
    with pytest.raises(ExportError, match=message):
        bench(package.path, **options)


def test_a_reference_that_is_no_model_is_refused(package: Package, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read as an ONNX file"):
        bench(package.path, tmp_path / "x.onnx")


def test_a_package_is_not_fed_otherwise(package: Package) -> None:
    for against in (None, package.path):
        with pytest.raises(ModelError, match=r"--pixels has no effect: .*package"):
            bench(package.path, against, pixels="raw")
