"""Losses, gradients and weights that are not finite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from facekd.data.loading.loader import Batch, Loader
from facekd.errors import FacekdError
from facekd.training.method import Stage
from tests.training.toy import Linear, build_trainer, newest_state


@pytest.mark.parametrize(("step", "what"), [(14, "loss"), (24, "loss"), (24, "gradient"), (17, "gradient")])
def test_what_is_not_finite_stops_and_leaves_the_checkpoint(
    tmp_path: Path, loader: Loader, step: int, what: str
) -> None:
    method = Linear()
    method.poison = (step, what)
    with pytest.raises(FacekdError, match=r"no longer finite.*checkpoint before is kept"):
        build_trainer(tmp_path, method, loader, [Stage(3)]).fit()
    state = newest_state(tmp_path)
    assert state["position"] == [0, 12, 12]
    assert all(torch.isfinite(value).all() for value in state["method"].values())


def test_a_step_whose_gradients_overflow_in_float16_is_left_out(tmp_path: Path, loader: Loader) -> None:
    method, before = Linear(), Linear()
    method.poison = (1, "gradient")
    trainer = build_trainer(tmp_path, method, loader, [Stage(1 / 12)], precision="float16")
    trainer.fit()
    assert torch.equal(method.student.weight, before.student.weight)
    assert trainer.scaler.get_scale() == 2**15


def test_float16_without_any_finite_gradient_stops(tmp_path: Path, loader: Loader) -> None:
    class Poisoned(Linear):
        def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
            self.poison = (self.calls + 1, "gradient")
            return super().losses(batch, progress)

    with pytest.raises(FacekdError, match="every gradient is no longer finite"):
        build_trainer(tmp_path, Poisoned(), loader, [Stage(4)], precision="float16").fit()


@pytest.mark.parametrize(("step", "what"), [(14, "loss"), (17, "gradient"), (20, "gradient")])
def test_the_batch_that_was_not_finite_is_kept(tmp_path: Path, loader: Loader, step: int, what: str) -> None:
    method = Linear()
    method.poison = (step, what)
    with pytest.raises(FacekdError, match=rf"at step {step}, whose batch is kept in \S+not_finite\.safetensors"):
        build_trainer(tmp_path, method, loader, [Stage(3)]).fit()
    batch = load_file(tmp_path / "not_finite.safetensors")
    assert torch.equal(batch["index"], list(loader.iter_steps(0, step))[-1].index)
    assert json.loads((tmp_path / "not_finite.json").read_text())["step"] == step
