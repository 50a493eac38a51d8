"""What benchncnn printed on a phone, read back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from facekd.errors import ExportError

_NUMBER = r"(\d+(?:\.\d+)?)"
_LINE = re.compile(rf"^\s*(\S.*?)\s+min\s*=\s*{_NUMBER}\s+max\s*=\s*{_NUMBER}\s+avg\s*=\s*{_NUMBER}\s*$", re.MULTILINE)


@dataclass(frozen=True)
class DeviceLatency:
    """Milliseconds one image took on a device, without the scaling of its pixels.

    Attributes:
        name: what was timed, for benchncnn the ``.param`` file.
        least_ms: the fastest run.
        mean_ms: the mean of all runs.
        most_ms: the slowest run.
    """

    name: str
    least_ms: float
    mean_ms: float
    most_ms: float


def read_benchncnn(text: str, where: str = "the output") -> tuple[DeviceLatency, ...]:
    """The timings in what benchncnn printed (on stderr), in their order; other lines are passed over.

    Args:
        text: all that it printed.
        where: what a message calls it, e.g. the file it was saved to.

    Raises:
        ExportError: there is no timing, or one that says that nothing ran: benchncnn prints 0.00 for a file that it
            could not open.
    """
    found = tuple(DeviceLatency(name, float(low), float(mean), float(high))
                  for name, low, high, mean in _LINE.findall(text))
    if not found:
        raise ExportError(
            f"{where} holds no line 'NAME  min = 1.23  max = 1.50  avg = 1.30', which benchncnn prints for what it "
            "timed; run the card's commands again and keep all that they print, stderr too"
        )
    for timing in found:
        if timing.most_ms == 0 or not timing.least_ms <= timing.mean_ms <= timing.most_ms:
            raise ExportError(
                f"{where} times {timing.name} at {timing.least_ms} to {timing.most_ms} ms, mean {timing.mean_ms}: "
                "nothing ran; check that the file lies on the device and was written by a version its benchncnn reads"
            )
    return found
