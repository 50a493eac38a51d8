"""The first step that is not finite is named, and its batch is saved as the network saw it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from facekd.data.loading.loader import Loader
from facekd.errors import FacekdError
from facekd.run import Run
from facekd.training.nan_guard import NanGuard, StepRecord

NAN, INF = float("nan"), float("inf")


def record(step: int, loss: float, gradient: float = 1.0) -> StepRecord:
    return StepRecord(step, 1, 0.5, {"loss": torch.tensor(loss), "gradient.student": torch.tensor(gradient)})


@pytest.mark.parametrize(("records", "step"), [
    ([record(13, 1.0), record(14, NAN), record(15, NAN)], 14),
    ([record(13, 1.0), record(14, 1.0, INF), record(15, NAN)], 14),
    ([record(14, 1.0)], 14),  # none shows it but the weights
])
def test_the_batch_of_the_first_such_step_is_kept_as_it_was_shown(
    tmp_path: Path, loader: Loader, records: list[StepRecord], step: int
) -> None:
    guard, batch = NanGuard(Run(tmp_path), loader), list(loader.iter_steps(0, step))[-1]
    for one in records:
        guard.add(one)
    with pytest.raises(FacekdError, match=rf"loss is no longer finite at step {step},.*not_finite\.safetensors"):
        guard.check({"loss": NAN, "labels": 1.0})
    saved = load_file(tmp_path / "not_finite.safetensors")
    assert saved.keys() == {"images", "labels", "index", "cache_slot"}
    assert all(torch.equal(value, getattr(batch, name)) for name, value in saved.items())
    facts = json.loads((tmp_path / "not_finite.json").read_text())
    assert (facts["step"], facts["stage"], facts["learning_rate"], facts["epoch"]) == (step, 1, 0.5, step / 12)
    metrics = next(one for one in records if one.step == step).metrics
    assert [float(facts["metrics"][name]) for name in metrics] == pytest.approx(
        [float(value) for value in metrics.values()], nan_ok=True)


def test_a_full_disk_does_not_hide_what_happened(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    guard = NanGuard(Run(tmp_path), loader)
    guard.add(record(3, NAN))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FacekdError, match=r"at step 3, whose batch could not be kept \(the disk is full"):
        guard.check({"loss": NAN})


def test_the_last_step_of_a_check_that_passed_is_remembered(tmp_path: Path, loader: Loader) -> None:
    guard = NanGuard(Run(tmp_path), loader)
    for one in (record(3, 1.0), record(4, 1.0, NAN)):
        guard.add(one)
    guard.check({"loss": 1.0})
    guard.add(record(5, NAN))
    with pytest.raises(FacekdError, match="at step 4,"):
        guard.check({"loss": NAN})


def test_weights_that_are_not_finite_end_the_training(tmp_path: Path, loader: Loader) -> None:
    guard = NanGuard(Run(tmp_path), loader)
    guard.add(record(3, 1.0))
    network = torch.nn.Linear(3, 8)
    guard.check_weights(network)
    assert not (tmp_path / "not_finite.json").exists()
    torch.nn.init.constant_(network.bias, INF)
    with pytest.raises(FacekdError, match="weights is no longer finite at step 3"):
        guard.check_weights(network)
