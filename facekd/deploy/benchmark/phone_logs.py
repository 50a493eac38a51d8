"""What a timing tool printed on a phone, read back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from facekd.errors import ExportError

_NUMBER = r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
_NCNN = re.compile(rf"^\s*(\S.*?)\s+min\s*=\s*{_NUMBER}\s+max\s*=\s*{_NUMBER}\s+avg\s*=\s*{_NUMBER}\s*$")
_GRAPH = re.compile(r"Graph: \[(.*)\]")
_LITERT = re.compile(rf"count=\d+ .*\bmin={_NUMBER} max={_NUMBER} avg={_NUMBER}")
_LITERT_END = "Inference timings in us:"
_THREADS = re.compile(r"(?:num_threads = |Num threads: \[)(\d+)")


@dataclass(frozen=True)
class DeviceLatency:
    """Milliseconds one image took on a device, without the scaling of its pixels.

    Attributes:
        file: the name of what was timed, for benchncnn a ``.param`` file.
        threads: how many it ran on; None where the tool does not say.
        least_ms: the fastest run.
        mean_ms: the mean of all runs.
        most_ms: the slowest run.
    """

    file: str
    threads: int | None
    least_ms: float
    mean_ms: float
    most_ms: float


def read_device(text: str, where: str = "the output") -> tuple[DeviceLatency, ...]:
    """The timings in what ncnn's benchncnn or LiteRT's benchmark_model printed; other lines are passed over.

    benchmark_model gives microseconds and times twice, warming up first: what counts is the last before it sums up.

    Args:
        text: all that they printed, in any number of runs.
        where: what a message calls it, e.g. the file it was saved to.

    Returns:
        In their order.

    Raises:
        ExportError: there is no timing, or one that says that nothing ran: benchncnn prints 0.00 for a file that it
            could not open.
    """
    found: list[DeviceLatency] = []
    file, threads, last = "model.tflite", None, None
    for line in text.splitlines():
        if told := _THREADS.search(line):
            threads = int(told[1])
        elif told := _GRAPH.search(line):
            file = PurePosixPath(told[1]).name
        elif told := _LITERT.search(line):
            last = told
        elif told := _NCNN.match(line):
            least, most, mean = map(float, told.groups()[1:])
            found.append(DeviceLatency(told[1], threads, least, mean, most))
        elif _LITERT_END in line and last:
            least, most, mean = (float(number) / 1000 for number in last.groups())
            found.append(DeviceLatency(file, threads, least, mean, most))
            threads = last = None
    if not found:
        raise ExportError(
            f"{where} holds no line 'NAME  min = 1.23  max = 1.50  avg = 1.30' of benchncnn, nor 'count=100 ... "
            "min=1230 max=1500 avg=1300' of benchmark_model; run the card's commands again and keep all that they "
            "print, stderr too"
        )
    for timing in found:
        if timing.most_ms == 0 or not timing.least_ms <= timing.mean_ms <= timing.most_ms:
            raise ExportError(
                f"{where} times {timing.file} at {timing.least_ms} to {timing.most_ms} ms, mean {timing.mean_ms}: "
                "nothing ran; check that the file lies on the device and was written by a version its tool reads"
            )
    return tuple(found)
