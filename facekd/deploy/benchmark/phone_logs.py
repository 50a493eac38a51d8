"""Latencies from the logs of the timing tools benchncnn and benchmark_model on a phone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from facekd.errors import ExportError
from facekd.io.reading import parse_whole_number
from facekd.text import shorten

MAX_MS = 1e7
"""A longer time for one image, of hours, is none that a tool measured."""
_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_NCNN = re.compile(rf"^\s*(\S.*?)\s+min\s*=\s*{_NUMBER}\s+max\s*=\s*{_NUMBER}\s+avg\s*=\s*{_NUMBER}\s*$")
_GRAPH = re.compile(r"Graph: \[(.*)\]")
_LITERT = re.compile(rf"count=\d+ .*\bmin={_NUMBER} max={_NUMBER} avg={_NUMBER}")
_LITERT_END = "Inference timings in us:"
_THREADS = re.compile(r"(?:num_threads = |Num threads: \[)(\d+)")


@dataclass(frozen=True)
class DeviceLatency:
    """Milliseconds for one image on a device, without the scaling of its pixels.

    Attributes:
        file: the name of the timed file, for benchncnn a ``.param`` file.
        threads: number of threads; None if the tool does not print it.
        min_ms: the fastest run.
        mean_ms: the mean of all runs.
        max_ms: the slowest run.
    """

    file: str
    threads: int | None
    min_ms: float
    mean_ms: float
    max_ms: float


def parse_phone_log(text: str, label: str = "the output") -> tuple[DeviceLatency, ...]:
    """Parse the output of ncnn's benchncnn or LiteRT's benchmark_model; other lines are ignored.

    benchmark_model prints microseconds and two measurements, of which the first is the warm-up; the last one before its
    summary counts.

    Args:
        text: the whole output, of any number of runs.
        label: the name of the text in error messages, e.g. the file it was saved to.

    Returns:
        The latencies in the order of the text.

    Raises:
        ExportError: there is no timing, or a timing shows that nothing ran: benchncnn prints 0.00 for a file that it
            could not open.
    """
    latencies: list[DeviceLatency] = []
    file = "model.tflite"
    threads = None
    measurement = None
    for line in text.splitlines():
        if match := _THREADS.search(line):
            threads = parse_whole_number(match[1])
        elif match := _GRAPH.search(line):
            file = PurePosixPath(match[1]).name
        elif match := _LITERT.search(line):
            measurement = match
        elif match := _NCNN.match(line):
            least, most, mean = map(float, match.groups()[1:])
            latencies.append(DeviceLatency(match[1], threads, least, mean, most))
        elif _LITERT_END in line and measurement:
            least, most, mean = (float(number) / 1000 for number in measurement.groups())
            latencies.append(DeviceLatency(file, threads, least, mean, most))
            threads = None
            measurement = None
    if not latencies:
        raise ExportError(
            f"{label} holds no line 'NAME  min = 1.23  max = 1.50  avg = 1.30' of benchncnn, nor 'count=100 ... "
            "min=1230 max=1500 avg=1300' of benchmark_model; run the card's commands again and keep all that they "
            "print, stderr too"
        )
    for latency in latencies:
        if not (0 <= latency.min_ms <= latency.mean_ms <= latency.max_ms and 0 < latency.max_ms <= MAX_MS):
            raise ExportError(
                f"{label} times {shorten(latency.file)} at {latency.min_ms} to {latency.max_ms} ms, mean "
                f"{latency.mean_ms}: nothing ran; check that the file is on the device and was written by a version "
                "its tool reads"
            )
    return tuple(latencies)
