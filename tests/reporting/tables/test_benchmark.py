from __future__ import annotations

from typing import Any

from rich.console import Console

from facekd.reporting.tables.benchmark import bench_notes, bench_table

TIMED = {"threads": 1, "median_ms": 2.0, "quartiles_ms": [1.5, 2.5], "p95_ms": 3.25, "repeats": 100,
         "images_per_second": 500.0, "ratio": 0.5, "ratio_interval": [0.4, 0.625]}
ROW = {"title": "plain.onnx", "model": "plain.onnx", "bytes": 4_000_000, "parameters": 1_234_567, "macs": None,
       "peak_bytes": None, "timed": [TIMED]}
PHONE: dict[str, Any] = {"device": "pixel", "titles": [], "file": "m.param", "threads": None, "min_ms": 4.0,
                         "mean_ms": 5.0, "max_ms": 6.0}


def result(**changed: Any) -> dict[str, Any]:
    return {"reference": "plain.onnx", "rows": [ROW], "devices": [PHONE], "not_run": {},
            "load": {"average": 0.1, "cores": 2, "busy": False}, **changed}


def test_a_line_a_file_and_one_a_timing_of_a_phone() -> None:
    console = Console(width=160)
    with console.capture() as shown:
        console.print(bench_table(result()))
    _, local, phone = (line.split() for line in shown.get().splitlines())
    assert local == ["plain.onnx", "1", "2.00", "1.50-2.50", "3.25", "500", "0.50", "[0.40,", "0.62]", "4.00", "–"]
    assert phone == ["pixel:", "m.param", "–", "5.00", "4.00-6.00", "–", "200", "–", "–", "–"]


def test_what_cannot_be_counted_is_called_unknown() -> None:
    assert bench_notes(result())[:2] == ["reference: plain.onnx", "plain.onnx: 1,234,567 parameters, unknown "
                                         "multiply-adds"]


def test_files_that_do_not_run_for_one_reason_share_a_line() -> None:
    lines = bench_notes(result(not_run={"a": "no ncnn", "b": "no macOS", "c": "no ncnn"}))
    reasons = [line for line in lines if line.startswith("not run")]
    assert reasons == ["not run: a, c (no ncnn)", "not run: b (no macOS)"]


def test_only_a_busy_machine_is_warned_of() -> None:
    busy = result(load={"average": 2.1, "cores": 2, "busy": True})
    assert [any(line.startswith("warning") for line in bench_notes(one)) for one in (result(), busy)] == [False, True]
