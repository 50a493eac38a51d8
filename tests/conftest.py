"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces: ``$FACEKD_DATA`` or ``../shared/data`` beside the checkout; absent, the test is skipped."""
    folder = Path(os.environ.get("FACEKD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "faces" / "train" / "train.rec").is_file():
        pytest.skip(f"real faces are absent ({folder}); set FACEKD_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The committed synthetic faces, one small set in each format."""
    return ROOT / "tests" / "fixtures"
