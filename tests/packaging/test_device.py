from __future__ import annotations

import pytest

from facekd.errors import ExportError
from facekd.packaging.device import DeviceLatency, read_benchncnn

PRINTED = """\
loop_count = 100
num_threads = 1
powersave = 2
gpu_device = -1
cooling_down = 0
  student.ncnn.param  min =    4.12  max =    5.50  avg =    4.30
"""


def test_the_line_is_read_among_the_others() -> None:
    assert read_benchncnn(PRINTED) == (DeviceLatency("student.ncnn.param", least_ms=4.12, mean_ms=4.3, most_ms=5.5),)


@pytest.mark.parametrize(("name", "times"), [("m", (0.01, 9.5, 0.5)), ("a b.param", (1234.5, 123456.78, 2000.25))])
def test_what_its_format_string_prints_is_read(name: str, times: tuple[float, float, float]) -> None:
    line = "%20s  min = %7.2f  max = %7.2f  avg = %7.2f\n" % (name, *times)  # noqa: UP031
    (found,) = read_benchncnn(line)
    assert (found.name, found.least_ms, found.most_ms, found.mean_ms) == (name, *times)


def test_several_runs_stay_in_order() -> None:
    text = PRINTED + PRINTED.replace("4.", "3.").replace("student", "other")
    assert [timing.name for timing in read_benchncnn(text)] == ["student.ncnn.param", "other.ncnn.param"]


def test_a_terminal_s_line_endings_do_no_harm() -> None:
    assert read_benchncnn(PRINTED.replace("\n", "\r\n")) == read_benchncnn(PRINTED)


@pytest.mark.parametrize("text", ["", "adb: no devices/emulators found\n", "student  min = 4.12  max = 5.50\n"])
def test_output_without_a_timing_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=r"bench\.txt holds no line 'NAME  min"):
        read_benchncnn(text, "bench.txt")


def test_a_file_that_was_not_found_on_the_device_is_refused() -> None:
    text = "fopen absent.param failed\n        absent.param  min =    0.00  max =    0.00  avg =    0.00\n"
    with pytest.raises(ExportError, match=r"absent\.param.*nothing ran"):
        read_benchncnn(text)
