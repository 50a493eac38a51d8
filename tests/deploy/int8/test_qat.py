from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import render_crop, write_faces
from facekd.deploy.int8.qat import fake_quantized, quantization_aware_finetune
from facekd.deploy.onnx.graph import WEIGHTED_OPERATORS
from facekd.deploy.onnx.quantize import quantize_static_int8
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.registry import Network

SIZE = 32
IDENTITIES, VIEWS = 32, 4


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Two batches."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, range(IDENTITIES), VIEWS, size=SIZE)
    return open_faces(folder)


@pytest.fixture(scope="module")
def source(make_tiny_network: Callable[[int], Network]) -> ExportSource:
    """A network whose embeddings depend on small weights next to one that is 30 times larger, in the same channel."""
    network = make_tiny_network(SIZE)
    weights = network.state_dict()
    # The output of channel 0 is divided, and the next layer multiplies it.
    for name in ("layers.1.weight", "layers.1.bias"):
        weights[name][0] /= 30
    weights["layers.3.weight"][:, 0] *= 30
    crops = np.stack([render_crop(person, 0, SIZE) for person in range(0, IDENTITIES, 2)])
    return prepare_source(network, ExportFormat(), "tiny", crops)


@pytest.fixture(scope="module")
def finetuned(source: ExportSource, faces: FaceSet) -> ExportSource:
    return quantization_aware_finetune(source, faces, 10, OnnxTarget.int8_weight_max)


def layers_of(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def initializers(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}


@pytest.fixture(scope="module")
def int8_file(float_file: Path, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "m.int8.onnx"
    quantize_static_int8(float_file, path, crops, ExportFormat().preprocess)
    return path


@pytest.fixture(scope="module")
def rounded_layers(tiny_network: Network, crops: NDArray[np.uint8]) -> list[tuple[Tensor, Tensor]]:
    """Weight and input of every layer of `tiny_network` while it is rounded."""
    network = copy.deepcopy(tiny_network)
    layers = list[tuple[Tensor, Tensor]]()
    pixels = torch.from_numpy(ExportFormat().preprocess(crops))
    with fake_quantized(network, pixels, OnnxTarget.int8_weight_max), torch.no_grad():
        for layer in layers_of(network):
            layer.register_forward_hook(lambda layer, inputs, _: layers.append((layer.weight.detach(), inputs[0])))
        network(pixels)
    return layers


def test_weights_are_rounded_as_onnx_runtime_rounds_them(
    rounded_layers: list[tuple[Tensor, Tensor]], int8_file: Path
) -> None:
    truth = {w.shape: w.astype(np.int64) for w in initializers(int8_file).values() if w.dtype == np.int8 and w.ndim > 1}
    assert len(truth) == len(rounded_layers) == 3
    for weight, _ in rounded_layers:
        step = weight.flatten(1).abs().amax(1) / 64
        steps = (weight / step.view(-1, *[1] * (weight.ndim - 1))).numpy()
        np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
        difference = np.abs(steps.round() - truth[weight.shape])
        # ONNX Runtime folds a batch norm before it rounds, which changes the last bits of float32.
        assert difference.max() <= 1 and difference.mean() < 0.01


def test_inputs_are_rounded_to_the_range_onnx_runtime_sets(
    rounded_layers: list[tuple[Tensor, Tensor]], int8_file: Path
) -> None:
    graph, values = onnx.load(str(int8_file)).graph, initializers(int8_file)
    scales = {node.output[0]: values[node.input[1]] for node in graph.node if node.op_type == "DequantizeLinear"}
    truth = [scales[node.input[0]] for node in graph.node if node.op_type in WEIGHTED_OPERATORS]
    levels = [np.unique(inputs.numpy()) for _, inputs in rounded_layers]
    assert max(map(len, levels)) <= 256
    steps = [np.diff(level).min() for level in levels]
    np.testing.assert_allclose(steps, truth, rtol=0.05)  # ONNX Runtime takes the percentile of a histogram


def test_a_tuned_int8_file_is_nearer_to_the_network(
    source: ExportSource, finetuned: ExportSource, tmp_path: Path
) -> None:
    unseen = np.stack([render_crop(person, view, SIZE) for person in range(100, 120) for view in range(2)])
    expected = source.embed(unseen)
    cosines = []
    for int8_source in (source, finetuned):
        files = OnnxTarget().convert(int8_source, "int8", tmp_path).files
        embeddings = OnnxTarget().open(files, int8_source.io_spec).forward(unseen)
        cosines.append(summarize_cosines(embeddings, expected).mean)
    assert 1 - cosines[1] < 0.7 * (1 - cosines[0])


def test_the_source_is_untouched_and_the_result_is_a_plain_network(
    make_tiny_network: Callable[[int], Network], faces: FaceSet, crops: NDArray[np.uint8]
) -> None:
    file_format = ExportFormat("uint8", l2_normalized=True)
    source = prepare_source(make_tiny_network(SIZE), file_format, "tiny", crops[:, :SIZE, :SIZE])
    before = {name: value.clone() for name, value in source.network.state_dict().items()}
    result = quantization_aware_finetune(source, faces, 1, 64)
    assert all(torch.equal(before[name], value) for name, value in source.network.state_dict().items())
    assert (result.format, result.name, result.calibration) == (source.format, source.name, source.calibration)
    state = result.network.state_dict()
    assert {n: (v.shape, v.dtype) for n, v in state.items()} == {n: (v.shape, v.dtype) for n, v in before.items()}
    assert all(torch.equal(before[name], value) for name, value in state.items() if "running" in name)
    for network in (source.network, result.network):
        assert [type(layer) for layer in layers_of(network)] == [nn.Conv2d, nn.Conv2d, nn.Linear]
        assert not any(layer._forward_pre_hooks for layer in network.modules())
        assert not network.training and not any(weight.requires_grad for weight in network.parameters())


def test_the_seed_alone_decides(source: ExportSource, faces: FaceSet) -> None:
    result = [quantization_aware_finetune(source, faces, 1, 64, seed).network.state_dict() for seed in (3, 3, 4)]
    first, again, other = (weights["layers.8.weight"] for weights in result)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_stops_where_the_loss_is_no_longer_finite(
    source: ExportSource, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.deploy.int8.qat.LEARNING_RATE", 1e30)
    with pytest.raises(ExportError, match="tiny: tuning for int8 stopped at step 2 of 2, its loss is no longer finite"):
        quantization_aware_finetune(source, faces, 1, 64)


def test_a_network_that_is_not_finite_is_refused(
    make_tiny_network: Callable[[int], Network], source: ExportSource, faces: FaceSet
) -> None:
    network = make_tiny_network(SIZE)
    next(network.parameters()).data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"the input of the layer layers\.3 is not finite on the calibration crops"):
        quantization_aware_finetune(prepare_source(network, ExportFormat(), "tiny", source.calibration), faces, 1, 64)


def test_without_calibration_crops_nothing_is_tuned(source: ExportSource, faces: FaceSet) -> None:
    with pytest.raises(ExportError, match="without calibration crops"):
        quantization_aware_finetune(prepare_source(source.network, ExportFormat(), "tiny"), faces, 1, 64)
