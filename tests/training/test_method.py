"""The defaults of a training method."""

from __future__ import annotations

import torch

from facekd.data.loading.loader import Loader
from facekd.training.method import Stage
from tests.training.toy import Linear, mean_colors


def test_by_default_one_step_minimizes_the_losses(loader: Loader) -> None:
    method = Linear()
    method.on_stage_start(Stage(1))
    batch = next(loader.iter_steps(0, 1))
    (closure,) = method.optimizer_passes(batch, 0.5)
    assert method.calls == 0  # nothing is computed before the closure is called
    logits = method.student(mean_colors(batch))
    torch.testing.assert_close(closure()["labels"], torch.nn.functional.cross_entropy(logits, batch.labels))
    assert method.calls == 1


def test_by_default_the_student_is_all_that_is_prepared_and_scaled_by_1() -> None:
    method = Linear()
    assert method.networks == [method.student]
    assert (dict(method.lr_scales), method.all_parameters_used) == ({}, False)
    state = {name: value.clone() for name, value in method.state_dict().items()}
    method.after_step(0.5)
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())


def test_a_stage_without_anchors_has_no_teacher() -> None:
    assert Stage(1.5).anchors == ()
