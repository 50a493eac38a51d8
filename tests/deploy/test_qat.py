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
from facekd.data.synthetic.dataset import render, write_faces
from facekd.deploy.onnx.graph import MULTIPLIES
from facekd.deploy.onnx.quantize import static_int8
from facekd.deploy.qat import rounded, tuned
from facekd.deploy.source import Form, Source, freeze
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import cosines
from facekd.errors import ExportError
from facekd.models.registry import Network

SIZE = 32
PEOPLE, VIEWS = 32, 4


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Two batches."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, range(PEOPLE), VIEWS, size=SIZE)
    return open_faces(folder)


@pytest.fixture(scope="module")
def source(make_tiny: Callable[[int], Network]) -> Source:
    """A network whose answer hangs on small weights beside one that is 30 times larger, in the same channel."""
    network = make_tiny(SIZE)
    weights = network.state_dict()
    for name in ("layers.1.weight", "layers.1.bias"):  # what channel 0 gives is divided, and multiplied by the next
        weights[name][0] /= 30
    weights["layers.3.weight"][:, 0] *= 30
    crops = np.stack([render(person, 0, SIZE) for person in range(0, PEOPLE, 2)])
    return freeze(network, Form(), "tiny", crops)


@pytest.fixture(scope="module")
def better(source: Source, faces: FaceSet) -> Source:
    return tuned(source, faces, 10, OnnxTarget.weight_steps)


def layers_of(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]


def initializers(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer}


@pytest.fixture(scope="module")
def quantised(exported: Path, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "m.int8.onnx"
    static_int8(exported, path, crops, Form().preprocess)
    return path


@pytest.fixture(scope="module")
def seen(tiny: Network, crops: NDArray[np.uint8]) -> list[tuple[Tensor, Tensor]]:
    """Weight and input of every layer of `tiny` while it is rounded."""
    network, found = copy.deepcopy(tiny), list[tuple[Tensor, Tensor]]()
    pixels = torch.from_numpy(Form().preprocess(crops))
    with rounded(network, pixels, OnnxTarget.weight_steps), torch.no_grad():
        for layer in layers_of(network):
            layer.register_forward_hook(lambda layer, given, out: found.append((layer.weight.detach(), given[0])))
        network(pixels)
    return found


def test_weights_are_rounded_as_onnx_runtime_rounds_them(seen: list[tuple[Tensor, Tensor]], quantised: Path) -> None:
    truth = {w.shape: w.astype(np.int64) for w in initializers(quantised).values() if w.dtype == np.int8 and w.ndim > 1}
    assert len(truth) == len(seen) == 3
    for weight, _ in seen:
        step = weight.flatten(1).abs().amax(1) / 64
        whole = (weight / step.view(-1, *[1] * (weight.ndim - 1))).numpy()
        np.testing.assert_allclose(whole, whole.round(), atol=1e-3)
        far = np.abs(whole.round() - truth[weight.shape])
        assert far.max() <= 1 and far.mean() < 0.01  # a batch norm was folded in before, in other roundings of float32


def test_inputs_are_rounded_to_the_range_onnx_runtime_sets(seen: list[tuple[Tensor, Tensor]], quantised: Path) -> None:
    graph, values = onnx.load(str(quantised)).graph, initializers(quantised)
    scales = {node.output[0]: values[node.input[1]] for node in graph.node if node.op_type == "DequantizeLinear"}
    truth = [scales[node.input[0]] for node in graph.node if node.op_type in MULTIPLIES]
    levels = [np.unique(given.numpy()) for _, given in seen]
    assert max(map(len, levels)) <= 256
    steps = [np.diff(level).min() for level in levels]
    np.testing.assert_allclose(steps, truth, rtol=0.05)  # a histogram's percentile there, the exact one here


def test_a_tuned_int8_file_is_nearer_to_the_network(source: Source, better: Source, tmp_path: Path) -> None:
    strangers = np.stack([render(person, view, SIZE) for person in range(100, 120) for view in range(2)])
    wanted, found = source.embed(strangers), []
    for own in (source, better):
        file = OnnxTarget().convert(own, "int8", tmp_path).files
        found.append(cosines(OnnxTarget().open(file, own.interface).forward(strangers), wanted).mean)
    assert 1 - found[1] < 0.7 * (1 - found[0])


def test_the_source_is_untouched_and_what_comes_back_is_plain(
    make_tiny: Callable[[int], Network], faces: FaceSet, crops: NDArray[np.uint8]
) -> None:
    source = freeze(make_tiny(SIZE), Form("uint8", unit=True), "tiny", crops[:, :SIZE, :SIZE])
    before = {name: value.clone() for name, value in source.network.state_dict().items()}
    made = tuned(source, faces, 1, 64)
    assert all(torch.equal(before[name], value) for name, value in source.network.state_dict().items())
    assert (made.form, made.name, made.calibration) == (source.form, source.name, source.calibration)
    state = made.network.state_dict()
    assert {n: (v.shape, v.dtype) for n, v in state.items()} == {n: (v.shape, v.dtype) for n, v in before.items()}
    assert all(torch.equal(before[name], value) for name, value in state.items() if "running" in name)
    for network in (source.network, made.network):
        assert [type(layer) for layer in layers_of(network)] == [nn.Conv2d, nn.Conv2d, nn.Linear]
        assert not any(layer._forward_pre_hooks for layer in network.modules())
        assert not network.training and not any(weight.requires_grad for weight in network.parameters())


def test_the_seed_alone_decides(source: Source, faces: FaceSet) -> None:
    made = [tuned(source, faces, 1, 64, seed).network.state_dict() for seed in (3, 3, 4)]
    first, again, other = (weights["layers.8.weight"] for weights in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_stops_where_the_loss_is_no_longer_finite(
    source: Source, faces: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.deploy.qat.RATE", 1e30)
    with pytest.raises(ExportError, match="tiny: tuning for int8 stopped at step 2 of 2, its loss is no longer finite"):
        tuned(source, faces, 1, 64)


def test_a_network_that_is_not_finite_is_refused(
    make_tiny: Callable[[int], Network], source: Source, faces: FaceSet
) -> None:
    network = make_tiny(SIZE)
    next(network.parameters()).data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ExportError, match=r"the layer layers\.3 takes is not finite on the calibration crops"):
        tuned(freeze(network, Form(), "tiny", source.calibration), faces, 1, 64)


def test_without_calibration_crops_nothing_is_tuned(source: Source, faces: FaceSet) -> None:
    with pytest.raises(ExportError, match="without calibration crops"):
        tuned(freeze(source.network, Form(), "tiny"), faces, 1, 64)
