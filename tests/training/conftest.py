"""Fixtures of the tests of the training loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces


@pytest.fixture
def loader(small_faces: Path) -> Loader:
    """Batches of 4 of 48 images, 32 px."""
    return Loader(open_faces(small_faces), 32, batch_size=4, seed=0, augmentation=Flip())
