from __future__ import annotations

from pathlib import Path

import pytest

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.api.prune import load_network, prune_teacher
from facekd.errors import DataError, ModelError
from facekd.models.complexity import count_macs
from facekd.models.weights import load_model
from facekd.run import Run
from tests.models.graph.exports import SIZE, random_network, write_onnx


def test_a_part_of_an_onnx_teacher_is_written(small_faces: Path, tmp_path: Path) -> None:
    network = random_network("mobilefacenet")
    file = write_onnx(network, tmp_path / "teacher.onnx", dynamo=False)
    part = prune_teacher(file, small_faces, tmp_path / "part.safetensors", 0.6)
    assert load_model(tmp_path / "part.safetensors").spec == part.spec
    assert count_macs(part, SIZE) <= 0.6 * count_macs(network, SIZE)


def test_a_part_of_our_own_teacher_is_distilled_from_it(
    teacher_run: Path, small_faces: Path, tmp_path: Path
) -> None:
    """The student of the run has the architecture of the part, and begins with its weights."""
    file = tmp_path / "part.safetensors"
    part = prune_teacher(teacher_run / "model.safetensors", small_faces, file, 0.7)
    plan(teacher_run, tmp_path / "plan.json", strategy="final", anchors=1)
    overrides = (f"student.weights={file}", "method=cosine", "training.epochs=1", "training.batch_size=8",
                 "training.learning_rate=0.000001", "machine.device=cpu", "machine.threads=1")
    run = distill(small_faces, tmp_path / "plan.json", tmp_path / "run", *overrides)
    trained = load_model(run / "model.safetensors")
    assert trained.spec == part.spec
    first = next(iter(part.parameters()))
    assert (next(iter(trained.parameters())) - first).abs().max() < 1e-3 * first.abs().max()
    assert distill(small_faces, tmp_path / "plan.json", run, *overrides) == Run(run).path  # the same call goes on


def test_too_few_images_are_refused(teacher_run: Path, small_faces: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="10 images, a part is chosen by at least 32"):
        prune_teacher(teacher_run / "model.safetensors", small_faces, tmp_path / "m.safetensors", 0.5, images=10)


def test_another_extension_is_refused(teacher_run: Path, small_faces: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is written as a \.safetensors file"):
        prune_teacher(teacher_run / "model.safetensors", small_faces, tmp_path / "part.onnx", 0.5)


def test_a_network_is_loaded_from_either_file(teacher_run: Path, tmp_path: Path) -> None:
    network = load_network(teacher_run / "model.safetensors")
    assert load_network(write_onnx(network, tmp_path / "m.onnx", dynamo=False)).spec.name == "graph"
