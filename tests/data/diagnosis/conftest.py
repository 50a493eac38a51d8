from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.diagnosis.face_sets import noise_jpeg, write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A healthy set: Ada, Bo and Cy with three images each."""
    root = tmp_path / "set"
    for number, name in enumerate(["Ada", "Bo", "Cy"]):
        for image in range(3):
            write_image(root, f"{name}/{image}.jpg", noise_jpeg(10 * number + image))
    return root
