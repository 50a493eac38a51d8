from __future__ import annotations

import pytest

from facekd.evaluation.statistics.difference import Difference


@pytest.mark.parametrize(("interval", "expected"), [
    ((0.01, 0.03), True), ((-0.03, -0.01), True), ((-0.01, 0.03), False), ((0.0, 0.02), False),
])
def test_a_difference_is_significant_if_its_interval_excludes_zero(interval: tuple[float, float],
                                                                   expected: bool) -> None:
    assert Difference("accuracy", 0.95, 0.93, interval).is_significant is expected


def test_the_line_gives_both_values_and_the_difference_in_points() -> None:
    line = Difference("TAR at FAR 1e-4", 0.95, 0.93, (0.005, 0.035)).describe()
    assert line == "TAR at FAR 1e-4: 95.00% - 93.00% = +2.00 points [+0.50, +3.50], a clear difference"
    assert Difference("rank-1", 0.9, 0.91, (-0.02, 0.01)).describe().endswith("no clear difference")
