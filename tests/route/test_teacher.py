from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from facekd.data.loading.loader import Batch
from facekd.errors import ModelError
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.route.teacher import (
    MeanTeacher,
    OnnxTeacher,
    RotatedTeacher,
    Teacher,
    TorchTeacher,
    TrainingTeacher,
    load_live_teacher,
)
from facekd.types import ModelOutput

CPU = torch.device("cpu")


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8, generator=generator)
    index = torch.arange(5)
    return Batch(images, index, index, torch.zeros(5, dtype=torch.int64))


class ConstantTeacher(Teacher):
    """Outputs one value for every image."""

    def __init__(self, value: float) -> None:
        self.dimension = 3
        self.value = value

    def forward(self, batch: Batch) -> ModelOutput:
        return ModelOutput(torch.full((len(batch.images), 3), self.value))


def write_mean_color(path: Path) -> Path:
    """An ONNX whose output is the mean of each channel of its normalized input."""
    nodes = [helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
             helper.make_node("Flatten", ["pooled"], ["embeddings"])]
    graph = helper.make_graph(
        nodes, "face", [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", 3])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_torch_teacher_has_the_outputs_of_its_network_in_evaluation_mode(random_route: Route, batch: Batch) -> None:
    teacher = load_live_teacher(random_route.point_file(1), CPU)
    network = load_model(random_route.point_file(1))
    assert isinstance(teacher, TorchTeacher)
    assert (teacher.size, teacher.dimension) == (32, 4)
    output = teacher.forward(batch)
    with torch.no_grad():
        torch.testing.assert_close(output.outputs, network(network.preprocess(batch.images)), rtol=1e-5, atol=1e-5)
    assert not output.outputs.requires_grad
    assert (output.feature_maps, output.pre_logits) == ((), None)


def test_features_and_the_chosen_maps_come_with_the_outputs(random_route: Route, batch: Batch) -> None:
    file = random_route.point_file(1)
    plain = load_live_teacher(file, CPU).forward(batch)
    output = load_live_teacher(file, CPU, with_features=True, feature_layers=["layer2"]).forward(batch)
    assert [feature_map.shape for feature_map in output.feature_maps] == [(5, 16, 16, 16)]
    assert output.pre_logits is not None
    network = load_model(file)
    with torch.no_grad():
        logits = network.get_submodule(network.final_layer)(output.pre_logits)
    torch.testing.assert_close(logits, output.outputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.outputs, plain.outputs, rtol=1e-5, atol=1e-5)


def test_outputs_under_autocast_are_float32_and_rounded(random_route: Route, batch: Batch) -> None:
    file = random_route.point_file(1)
    exact = load_live_teacher(file, CPU).forward(batch).outputs
    rounded = load_live_teacher(file, CPU, torch.bfloat16).forward(batch).outputs
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - exact).norm() / exact.norm()) < 0.05


def test_the_example_output_has_the_shapes_of_an_output(random_route: Route, batch: Batch) -> None:
    teacher = load_live_teacher(random_route.point_file(0), CPU, with_features=True)
    output, example = teacher.forward(batch), teacher.example_output()
    assert example.outputs.shape == (2, 4)
    assert [m.shape[1:] for m in example.feature_maps] == [m.shape[1:] for m in output.feature_maps]
    assert ConstantTeacher(1.0).example_output().outputs.shape == (2, 3)


def test_an_onnx_teacher_runs_on_the_pixels_of_the_batch(tmp_path: Path, batch: Batch) -> None:
    teacher = load_live_teacher(write_mean_color(tmp_path / "face.onnx"), CPU)
    assert isinstance(teacher, OnnxTeacher)
    assert (teacher.size, teacher.dimension) == (32, 3)
    output = teacher.forward(batch)
    truth = (batch.images.numpy().astype(np.float64) - 127.5).mean(axis=(1, 2)) / 127.5
    np.testing.assert_allclose(output.outputs.numpy(), truth, atol=1e-5)
    assert output.feature_maps == ()


def test_the_mean_teacher_outputs_the_mean(batch: Batch) -> None:
    teacher = MeanTeacher([ConstantTeacher(1.0), ConstantTeacher(2.0), ConstantTeacher(6.0)])
    assert teacher.dimension == 3
    assert teacher.forward(batch).outputs.tolist() == [[3.0] * 3] * 5


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "point.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"point\.safetensors"):
        load_live_teacher(tmp_path / "point.safetensors", CPU)


def test_a_training_teacher_uses_batch_statistics_and_leaves_the_network_unchanged(
    random_route: Route, batch: Batch
) -> None:
    network = load_model(random_route.point_file(1)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    output = TrainingTeacher(network, with_features=True, feature_layers=()).forward(batch)
    assert not output.outputs.requires_grad
    assert len(output.feature_maps) == len(network.stages)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    truth = network(network.preprocess(batch.images)).detach()  # in training mode, as the next step computes it
    torch.testing.assert_close(output.outputs, truth, rtol=1e-5, atol=1e-5)


def test_the_outputs_of_a_training_teacher_are_the_current_ones(random_route: Route, batch: Batch) -> None:
    network = load_model(random_route.point_file(1)).train()
    teacher = TrainingTeacher(network, with_features=False, feature_layers=())
    first = teacher.forward(batch)
    assert first.feature_maps == ()
    with torch.no_grad():
        for parameter in network.get_submodule(network.final_layer).parameters():
            parameter.mul_(2.0)
    torch.testing.assert_close(teacher.forward(batch).outputs, 2 * first.outputs, rtol=1e-5, atol=1e-5)
    assert teacher.example_output().outputs.shape == (2, teacher.dimension)


def test_a_rotated_teacher_rotates_embeddings_and_leaves_maps_alone(random_route: Route, batch: Batch) -> None:
    teacher = load_live_teacher(random_route.point_file(1), CPU, with_features=True)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
    rotated, plain = RotatedTeacher(teacher, rotation).forward(batch), teacher.forward(batch)
    torch.testing.assert_close(rotated.outputs, plain.outputs @ rotation)
    torch.testing.assert_close(rotated.outputs @ rotated.outputs.T, plain.outputs @ plain.outputs.T)  # all cosines
    assert len(rotated.feature_maps) == len(plain.feature_maps) > 0
    torch.testing.assert_close(rotated.feature_maps[0], plain.feature_maps[0])
