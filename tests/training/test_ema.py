"""The average of the weights: its closed form, and its file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from facekd.data.loading.loader import Batch, Loader
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.run import Run
from facekd.training.ema import build_ema, save_student
from facekd.training.method import Stage
from tests.training.toy import Linear, build_trainer


def test_weights_and_their_mean_lie_side_by_side_and_are_read_by_name(tmp_path: Path) -> None:
    student = create("resnet8", size=32, outputs=4)
    ema = build_ema(student, 0.9)
    assert ema is not None
    ema.update_parameters(student)
    with torch.no_grad():
        student.fc.bias.add_(1.0)  # type: ignore[union-attr, operator]
    ema.update_parameters(student)
    save_student(Run(tmp_path), student, ema)
    weights, average = (load_model(tmp_path / name) for name in ("model.safetensors", "model.ema.safetensors"))
    assert weights.spec == average.spec
    difference = weights.state_dict()["fc.bias"] - average.state_dict()["fc.bias"]
    torch.testing.assert_close(difference, torch.full((4,), 0.9))


def test_without_a_decay_no_mean_is_kept(tmp_path: Path) -> None:
    student = create("resnet8", size=32, outputs=4)
    save_student(Run(tmp_path), student, build_ema(student, 0.0))
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_mean_of_the_weights_is_its_closed_form(tmp_path: Path, loader: Loader) -> None:
    class Watched(Linear):
        def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
            weights.append(self.student.weight.detach().double().clone())
            return super().losses(batch, progress)

    weights: list[Tensor] = []
    method = Watched()
    trainer = build_trainer(tmp_path, method, loader, [Stage(0.5), Stage(1)], ema_decay=0.8)
    trainer.fit()
    after_steps = torch.stack([*weights[1:], method.student.weight.detach().double()])
    shares = torch.tensor([0.8**11, *(0.2 * 0.8 ** (12 - t) for t in range(2, 13))], dtype=torch.float64)
    assert trainer.ema is not None
    torch.testing.assert_close(trainer.ema.module.weight.double(), (shares[:, None, None] * after_steps).sum(0))
