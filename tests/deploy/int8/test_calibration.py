from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.synthetic.dataset import write_faces
from facekd.deploy.int8 import calibration
from facekd.deploy.int8.calibration import read_calibration
from facekd.errors import ExportError


def test_crops_are_evenly_spaced_from_first_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_faces(tmp_path, range(7), 3, size=32)
    monkeypatch.setattr(calibration, "CALIBRATION_FACES", 5)
    read = read_calibration(tmp_path, 32)
    assert read.indices == [0, 5, 10, 15, 20]
    assert read.crops.shape == (5, 32, 32, 3)
    np.testing.assert_array_equal(read.crops[1], read.faces.pixels(5))
    assert read.labels == [0, 1, 3, 5, 6]


def test_a_small_set_is_refused(tmp_path: Path) -> None:
    write_faces(tmp_path, range(5), 3, size=32)
    with pytest.raises(ExportError, match="holds 15 faces, int8 ranges need at least 16"):
        read_calibration(tmp_path, 32)
