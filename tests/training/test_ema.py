from __future__ import annotations

from pathlib import Path

import torch

from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.run import Run
from facekd.training.ema import averaged, save_student


def test_weights_and_their_mean_lie_side_by_side_and_are_read_by_name(tmp_path: Path) -> None:
    student = create("resnet8", size=32, outputs=4)
    average = averaged(student, 0.9)
    assert average is not None
    average.update_parameters(student)
    with torch.no_grad():
        student.fc.bias.add_(1.0)  # type: ignore[union-attr, operator]
    average.update_parameters(student)
    save_student(Run(tmp_path), student, average)
    weights, mean = (load_model(tmp_path / name) for name in ("model.safetensors", "model.ema.safetensors"))
    assert weights.spec == mean.spec
    difference = weights.state_dict()["fc.bias"] - mean.state_dict()["fc.bias"]
    torch.testing.assert_close(difference, torch.full((4,), 0.9))


def test_without_a_decay_no_mean_is_kept(tmp_path: Path) -> None:
    student = create("resnet8", size=32, outputs=4)
    save_student(Run(tmp_path), student, averaged(student, 0.0))
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
