from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.classification.calibration import Bin, expected_calibration_error, reliability_bins


def test_bins_are_open_below_and_closed_above() -> None:
    bins = reliability_bins(np.array([1 / 15, 1 / 15 + 1e-9, 1.0]), np.array([True, False, True]))
    assert len(bins) == 15
    assert bins[0] == Bin(1 / 15, 1.0, 1)
    assert (bins[1].accuracy, bins[1].count) == (0.0, 1)
    assert bins[14] == Bin(1.0, 1.0, 1)
    assert all(group == Bin(None, None, 0) for group in bins[2:14])


def test_a_bin_holds_the_means_of_its_images() -> None:
    generator = np.random.default_rng(0)
    confidence, correct = generator.uniform(0.01, 1, 500), generator.random(500) < 0.5
    for number, group in enumerate(reliability_bins(confidence, correct)):
        inside = (number / 15 < confidence) & (confidence <= (number + 1) / 15)
        assert group.count == inside.sum()
        assert group.confidence == pytest.approx(confidence[inside].mean())
        assert group.accuracy == pytest.approx(correct[inside].mean())


def test_the_error_weights_gaps_by_images_and_skips_empty_bins() -> None:
    bins = [Bin(0.9, 0.5, 30), Bin(None, None, 0), Bin(0.2, 0.3, 10)]
    assert expected_calibration_error(bins) == pytest.approx(0.75 * 0.4 + 0.25 * 0.1)
