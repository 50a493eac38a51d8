from __future__ import annotations

from collections.abc import Callable

import pytest

from facekd.errors import OptionError
from facekd.utils.quantities import parse_bytes, parse_count, parse_milliseconds


@pytest.mark.parametrize(("parse", "text", "expected"), [
    (parse_bytes, "1MB", 1_000_000), (parse_bytes, "0.3 mb", 300_000), (parse_bytes, ".5MiB", 524_288),
    (parse_bytes, "300kB", 300_000), (parse_bytes, "12B", 12), (parse_bytes, "2GiB", 2 * 1024**3),
    (parse_count, "100M", 100_000_000), (parse_count, "2.5g", 2_500_000_000), (parse_count, "1000", 1000),
    (parse_count, "1e6", 1_000_000), (parse_milliseconds, "5ms", 5.0), (parse_milliseconds, "0.01 s", 10.0),
    (parse_milliseconds, "800us", 0.8),
])
def test_a_quantity_is_a_number_and_a_unit(parse: Callable[[str, str], float], text: str, expected: float) -> None:
    assert parse(text, "--x") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("parse", "text"), [
    (parse_bytes, "1"), (parse_bytes, "MB"), (parse_bytes, "-1MB"), (parse_bytes, "0MB"), (parse_bytes, "0,3MB"),
    (parse_bytes, "1TB"), (parse_bytes, "nan"), (parse_bytes, "infMB"), (parse_bytes, "1e99GB"), (parse_bytes, ""),
    (parse_bytes, "9" * 5000 + "MB"), (parse_count, "100MB"), (parse_count, "M"), (parse_milliseconds, "5"),
    (parse_milliseconds, "5 m"), (parse_milliseconds, "\u0665ms"), (parse_milliseconds, "1ms\n2ms"),
])
def test_anything_else_is_refused_with_an_example(parse: Callable[[str, str], float], text: str) -> None:
    with pytest.raises(OptionError, match=r"^--x must be a (size|number|time) like [^,]+, .*, not "):
        parse(text, "--x")
