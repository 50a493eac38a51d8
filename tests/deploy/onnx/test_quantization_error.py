from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from facekd.deploy.onnx.quantization_error import layer_snr
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ExportError
from facekd.models.registry import Network

LAYERS = {"layers.0", "layers.3", "layers.8"}


FORMATS = {"float": ExportFormat(), "uint8": ExportFormat("uint8", l2_normalized=True)}


@pytest.fixture(scope="module", params=FORMATS)
def source(request: pytest.FixtureRequest, tiny_network: Network, crops: NDArray[np.uint8]) -> ExportSource:
    return prepare_source(tiny_network, FORMATS[request.param], "student", crops)


@pytest.fixture(scope="module")
def files(source: ExportSource, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    target, folder = OnnxTarget(), tmp_path_factory.mktemp("layers")
    return target.convert(source, "fp32", folder).files[0], target.convert(source, "int8", folder).files[0]


def test_every_layer_is_named_worst_first(files: tuple[Path, Path], crops: NDArray[np.uint8]) -> None:
    layers = layer_snr(*files, crops)
    assert {name for name, _ in layers} == LAYERS
    assert [decibels for _, decibels in layers] == sorted(decibels for _, decibels in layers)
    assert all(10 < decibels < 60 for _, decibels in layers)


def test_the_last_layer_is_as_far_off_as_the_embeddings(
    source: ExportSource, files: tuple[Path, Path], crops: NDArray[np.uint8]
) -> None:
    if source.format.l2_normalized:
        pytest.skip("the embedding is the last layer's output only where it has no unit length")
    exact, rounded = (OnnxTarget().open([file], source.io_spec).forward(crops).astype(np.float64) for file in files)
    expected = 10 * np.log10((exact**2).sum() / ((exact - rounded) ** 2).sum())
    assert dict(layer_snr(*files, crops))["layers.8"] == pytest.approx(expected, abs=0.01)


def test_a_damaged_layer_is_the_worst(files: tuple[Path, Path], crops: NDArray[np.uint8], tmp_path: Path) -> None:
    proto = onnx.load(str(files[1]))
    weights = next(t for t in proto.graph.initializer if t.name.startswith("network.layers.3.weight_quantized"))
    values = numpy_helper.to_array(weights)
    weights.CopyFrom(numpy_helper.from_array(-values, weights.name))
    onnx.save(proto, tmp_path / "damaged.onnx")
    before, after = dict(layer_snr(*files, crops)), layer_snr(files[0], tmp_path / "damaged.onnx", crops)
    assert dict(after)["layers.3"] < 0
    assert dict(after)["layers.0"] == pytest.approx(before["layers.0"], abs=1e-6)


def test_layers_left_in_float_are_not_listed(source: ExportSource, crops: NDArray[np.uint8], tmp_path: Path) -> None:
    target = OnnxTarget(float_layers="ends")
    files = [target.convert(source, precision, tmp_path).files[0] for precision in ("fp32", "int8")]
    assert [name for name, _ in layer_snr(files[0], files[1], crops)] == ["layers.3"]


def test_no_crop_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(ExportError, match="at least one crop"):
        layer_snr(*files, np.zeros((0, 112, 112, 3), np.uint8))
