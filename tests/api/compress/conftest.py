"""One compression of a few synthetic faces, which several test files look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facekd.api.compress.compress import compress
from facekd.api.compress.conclusion import Conclusion
from facekd.data.synthetic.dataset import write_faces

MACS = 1_500_000
"""The budget: less than the tiny teacher has."""


@pytest.fixture(scope="package")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 32 px, more than one batch."""
    folder = tmp_path_factory.mktemp("compress") / "crops"
    write_faces(folder, range(10), 9, size=32)
    return folder


@pytest.fixture(scope="package")
def teacher(teacher_run: Path, crops: Path) -> Path:
    """The tiny teacher with a route of its own, into which a compression may write its cache."""
    return Path(shutil.copytree(teacher_run, crops.parent / "teacher"))


@pytest.fixture(scope="package")
def compression(teacher: Path, crops: Path) -> Conclusion:
    """A part of the tiny teacher, which recorded a route; few crops suffice for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("facekd.api.compress.faces.MIN_FACES", 32)
        patch.setattr("facekd.api.compress.faces.MIN_HELD_OUT", 12)
        return compress(teacher, crops, crops.parent / "out", macs=str(MACS), epochs=2, device="cpu")
