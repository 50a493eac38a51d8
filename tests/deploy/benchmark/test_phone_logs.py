from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from facekd.deploy.benchmark.phone_logs import DeviceLatency, parse_phone_log
from facekd.deploy.targets.base import Target
from facekd.deploy.targets.executorch import ExecuTorchTarget
from facekd.deploy.targets.litert import LiteRTTarget
from facekd.errors import ExportError

NCNN = """\
loop_count = 100
num_threads = 1
powersave = 2
gpu_device = -1
cooling_down = 0
  student.ncnn.param  min =    4.12  max =    5.50  avg =    4.30
"""
LITERT = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: Graph: [/data/local/tmp/student.tflite]
INFO: Loaded model /data/local/tmp/student.tflite
INFO: Initialized session in 119.515ms.
INFO: Running benchmark for at least 5 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=9 first=87112 curr=51629 min=51629 max=87112 avg=58147.4 std=11478 p5=51629 median=51962 p95=87112

INFO: Running benchmark for at least 100 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=100 first=52162 curr=49785 min=49088 max=68610 avg=53743.2 std=607 p5=49620 median=51891 p95=68028

INFO: Inference timings in us: Init: 119515, First inference: 87112, Warmup (avg): 58147.4, Inference (avg): 53743.2
INFO: Memory footprint delta from the start of the tool (MB): init=55.4961 overall=55.4961
"""
OLDER = """\
Graph: [student.int8.tflite]
count=2 first=339304 curr=266325 min=266325 max=339304 avg=302814 std=36489
count=50 first=266601 curr=266931 min=265837 max=2.68116e+06 avg=266473 std=419
Inference timings in us: Init: 20283, First inference: 339304, Warmup (avg): 302814, Inference (avg): 266473
"""
STUDENT = DeviceLatency("student.ncnn.param", 1, min_ms=4.12, mean_ms=4.3, max_ms=5.5)


def test_the_line_of_benchncnn_is_read_among_the_others() -> None:
    assert parse_phone_log(NCNN) == (STUDENT,)


@pytest.mark.parametrize(("name", "times"), [("m", (0.01, 9.5, 0.5)), ("a b.param", (1234.5, 123456.78, 2000.25))])
def test_the_output_of_its_format_string_is_read(name: str, times: tuple[float, float, float]) -> None:
    line = "%20s  min = %7.2f  max = %7.2f  avg = %7.2f\n" % (name, *times)  # noqa: UP031
    assert parse_phone_log(line) == (DeviceLatency(name, None, times[0], times[2], times[1]),)


def test_the_timed_runs_of_benchmark_model_count_and_not_the_warm_up() -> None:
    (latency,) = parse_phone_log(LITERT)
    assert (latency.file, latency.threads) == ("student.tflite", 4)
    assert (latency.min_ms, latency.mean_ms, latency.max_ms) == pytest.approx((49.088, 53.7432, 68.61))


def test_the_output_of_an_older_benchmark_model_is_read() -> None:
    (latency,) = parse_phone_log(OLDER)
    assert (latency.file, latency.threads) == ("student.int8.tflite", None)
    assert (latency.min_ms, latency.mean_ms, latency.max_ms) == pytest.approx((265.837, 266.473, 2681.16))


def test_several_runs_of_either_tool_stay_in_order() -> None:
    text = NCNN + LITERT + NCNN.replace("4.", "3.").replace("student", "other").replace("threads = 1", "threads = 8")
    assert [(latency.file, latency.threads) for latency in parse_phone_log(text)] == [
        ("student.ncnn.param", 1), ("student.tflite", 4), ("other.ncnn.param", 8)
    ]


def test_a_terminal_s_line_endings_do_no_harm() -> None:
    assert parse_phone_log((NCNN + LITERT).replace("\n", "\r\n")) == parse_phone_log(NCNN + LITERT)


@pytest.mark.parametrize("text", [
    "", "adb: no devices/emulators found\n", "student  min = 4.12  max = 5.50\n", LITERT.split("INFO: Inference")[0]
])
def test_output_without_a_timing_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"bench\.txt holds no line 'NAME  min"):
        parse_phone_log(text, "bench.txt")


def test_a_file_that_was_not_found_on_the_device_is_refused() -> None:
    text = "fopen absent.param failed\n        absent.param  min =    0.00  max =    0.00  avg =    0.00\n"
    with pytest.raises(ExportError, match=r"absent\.param.*nothing ran"):
        parse_phone_log(text)


@pytest.mark.parametrize(("target", "tool", "words"), [
    (LiteRTTarget, "benchmark_model", "--graph=m.pt --num_threads=4 --warmup_runs=10 --num_runs=100"),
    (ExecuTorchTarget, "executor_runner",
     "--model_path=m.pt --input_shapes=1x3x112x112 --num_executions=100 --cpu_threads=4"),
])
def test_the_commands_of_a_card_reach_the_device(
    target: type[Target], tool: str, words: str, tmp_path: Path
) -> None:
    adb = tmp_path / "adb"
    adb.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\necho --\n')
    adb.chmod(0o755)
    printed = subprocess.run(
        ["sh", "-c", target.device_command.format(files="m.pt", size=112, threads=4)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True,
    ).stdout
    run = f"cd /data/local/tmp && chmod +x {tool} && ./{tool} {words}"
    assert printed == f"push\n{tool}\nm.pt\n/data/local/tmp/\n--\nshell\n{run}\n--\n"


@pytest.mark.parametrize(("minimum", "maximum"), [("9" * 5000, "9" * 5000), ("1e300", "1e300"), ("1", "1e400")])
def test_a_time_without_sense_is_refused(minimum: str, maximum: str) -> None:
    with pytest.raises(ExportError, match="nothing ran"):
        parse_phone_log(f"a.param  min = {minimum}  max = {maximum}  avg = {minimum}\n")


def test_a_number_of_threads_of_many_digits_is_unknown() -> None:
    text = f"num_threads = {'9' * 5000}\na.param  min = 1.00  max = 3.00  avg = 2.00\n"
    assert parse_phone_log(text)[0].threads is None
