"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd import cli
from facekd.data.synthetic import write_faces
from facekd.verbs.teach import teach

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real faces: ``$FACEKD_DATA`` or ``../shared/data`` beside the checkout.

    Absent, the test is skipped.
    """
    folder = Path(os.environ.get("FACEKD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "faces" / "train" / "train.rec").is_file():
        pytest.skip(f"real faces are absent ({folder}); set FACEKD_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The committed synthetic faces, one small set in each format."""
    return ROOT / "tests" / "fixtures"


SMALL = (
    "model.name=iresnet10", "model.options={width: 0.25}", "model.size=32", "model.embedding=16", "head.scale=16",
    "schedule.batch=4", "schedule.epochs=3", "schedule.learning_rate=0.02", "schedule.shape=step",
    "schedule.milestones=[0.5, 0.8]", "machine.device=cpu", "machine.threads=1",
)
"""A teacher of 36 steps, 12 an epoch, whose rate drops at steps 18 and 29."""


@pytest.fixture(scope="session")
def small_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic faces: 8 people with 6 crops each, 32 px."""
    folder = tmp_path_factory.mktemp("small_faces")
    write_faces(folder, range(8), 6, size=32)
    return folder


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """The overrides of the recipe behind `taught`."""
    return SMALL


@pytest.fixture(scope="session")
def taught(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a tiny teacher with its route; tests must not change it."""
    return teach(small_faces, tmp_path_factory.mktemp("taught") / "run", *SMALL)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command line in this process; gives the exit code."""

    def run(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["facekd", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run
