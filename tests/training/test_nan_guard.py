from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader
from facekd.data.opening import open_faces
from facekd.errors import FacekdError
from facekd.run import Run
from facekd.training.nan_guard import Done, Guard

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def loader(small_faces: Path) -> Loader:
    return Loader(open_faces(small_faces), 32, 4, 0, Flip())


def done(step: int, loss: float, gradient: float = 1.0) -> Done:
    return Done(step, 1, 0.5, {"loss": torch.tensor(loss), "gradient.student": torch.tensor(gradient)})


@pytest.mark.parametrize(("steps", "wanted"), [
    ([done(13, 1.0), done(14, NAN), done(15, NAN)], 14),
    ([done(13, 1.0), done(14, 1.0, INF), done(15, NAN)], 14),
    ([done(14, 1.0)], 14),  # none shows it but the weights
])
def test_the_batch_of_the_first_such_step_is_kept_as_it_was_shown(
    tmp_path: Path, loader: Loader, steps: list[Done], wanted: int
) -> None:
    guard, seen = Guard(Run(tmp_path), loader), list(loader.run(0, wanted))[-1]
    for step in steps:
        guard.add(step)
    with pytest.raises(FacekdError, match=rf"loss is no longer finite at step {wanted},.*not_finite\.safetensors"):
        guard.check({"loss": NAN, "labels": 1.0})
    kept = load_file(tmp_path / "not_finite.safetensors")
    assert kept.keys() == {"images", "labels", "index", "slot"}
    assert all(torch.equal(value, getattr(seen, name)) for name, value in kept.items())
    told = json.loads((tmp_path / "not_finite.json").read_text())
    assert (told["step"], told["stage"], told["learning_rate"], told["epoch"]) == (wanted, 1, 0.5, wanted / 12)
    figures = next(step for step in steps if step.step == wanted).figures
    assert [float(told["figures"][name]) for name in figures] == pytest.approx(
        [float(value) for value in figures.values()], nan_ok=True)


def test_a_full_disk_does_not_hide_what_happened(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    guard = Guard(Run(tmp_path), loader)
    guard.add(done(3, NAN))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FacekdError, match=r"at step 3, whose batch could not be kept \(the disk is full"):
        guard.check({"loss": NAN})


def test_the_last_step_of_a_check_that_passed_is_remembered(tmp_path: Path, loader: Loader) -> None:
    guard = Guard(Run(tmp_path), loader)
    for step in (done(3, 1.0), done(4, 1.0, NAN)):
        guard.add(step)
    guard.check({"loss": 1.0})
    guard.add(done(5, NAN))
    with pytest.raises(FacekdError, match="at step 4,"):
        guard.check({"loss": NAN})
